"""plugins/README.md is followed line by line: its two files, then its commands and outputs."""

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from segcli.plugin import Published

# The tests of the protocol run in this suite anyway; a test uploads nothing.
NOT_RUN = [["python", "-m"], ["twine", "upload"]]
README = (Path(__file__).resolve().parents[2] / "plugins/README.md").read_text()


def block(language: str) -> str:
    (text,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return text


def pip() -> list[str]:
    """The command of pip: of this environment, or the one that Python itself carries."""
    # Not by find_spec, at which setuptools warns if another test has imported distutils.
    if any(distributions(name="pip")):
        return [sys.executable, "-m", "pip"]
    import ensurepip

    wheels = sorted((Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl"))
    if not wheels:
        pytest.skip("this Python has no pip")
    return [sys.executable, str(wheels[-1] / "pip")]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with the tutorial's two files and some photos."""
    for name, language in (("pyproject.toml", "toml"), ("segcli_bright/__init__.py", "python")):
        assert f"segcli-bright/{name}" in README
        path = tmp_path / "segcli-bright" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block(language))
    (tmp_path / "photos").mkdir()
    pixels = np.full((60, 80, 3), 30, np.uint8)
    pixels[20:40, 30:50] = 250
    Image.fromarray(pixels).save(tmp_path / "photos/lamp.png")
    return tmp_path


@pytest.fixture
def environment(place: Path) -> dict[str, str]:
    """`pip` installs into a folder of the test, which is on the path; nothing is fetched."""
    programs = place / "bin"
    programs.mkdir()
    for name, words in (("pip", pip()), ("segcli", [sys.executable, "-m", "segcli"])):
        quoted = " ".join(f"'{word}'" for word in words)
        (programs / name).write_text(f'#!/bin/sh\nexec {quoted} "$@"\n')
        (programs / name).chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(place / "site"), os.environ.get("PYTHONPATH", "")]),
        "PIP_TARGET": str(place / "site"),
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads this as "no build isolation"
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "COLUMNS": "200",
    }


def transcript() -> list[tuple[str, str]]:
    """Each command of the console blocks with the output that the page shows."""
    text = "".join(re.findall(r"```console\n(.*?)```", README, re.DOTALL))
    parts = re.split(r"^\$ (.*)\n", text, flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2], strict=True))


def pattern(shown: str) -> str:
    """What matches an output like the one shown: with other numbers, and any lines for "..."."""
    lines = [r"(?:.*\n)*?" if line == "..." else shape(line) for line in shown.splitlines()]
    return "".join(lines)


def shape(line: str) -> str:
    escaped = re.escape(line.rstrip())
    return re.sub(r"\d+(?:\\\.\d+)?", r"\\d+(?:\\.\\d+)?", escaped) + r" *\n"


@pytest.mark.skipif(shutil.which("sh") is None, reason="the system has no sh")
@pytest.mark.slow
def test_the_tutorial_runs_as_written(place: Path, environment: dict[str, str]) -> None:
    words = []
    for line, shown in transcript():
        words.append(line.split()[:2])
        if words[-1] in NOT_RUN:
            continue
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=place,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}"
        told = done.stdout.replace("bfloat16", "float32")  # which one the processor decides
        assert re.fullmatch(pattern(shown), told), f"$ {line}\n{told}"
    assert words == [
        ["pip", "install"],
        ["segcli", "models"],
        ["segcli", "models"],
        ["segcli", "predict"],
        ["segcli", "viz"],
        ["python", "-m"],
        ["pip", "wheel"],
        ["twine", "upload"],
    ]
    rows = pq.read_table(place / "bright.parquet").to_pylist()
    assert [(row["key"], row["category"]) for row in rows] == [("lamp.png", "bright")]
    assert abs(rows[0]["area"] - 400) < 60
    with Image.open(place / "bright.jpg") as sheet:
        assert sheet.width > 100
    assert (place / "dist/segcli_bright-1.0-py3-none-any.whl").is_file()


def test_the_description_of_published_weights_is_one() -> None:
    names: dict[str, object] = {}
    exec(block("py"), names)
    published = names["PUBLISHED"]
    assert isinstance(published, Published)
    assert published.file == "bright-tiny.safetensors"
    assert len(published.sha256) == 64
