"""plugins/README.md is followed line by line: its two files, then its commands."""

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

README = (Path(__file__).resolve().parents[2] / "plugins/README.md").read_text()


def block(language: str) -> str:
    (text,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return text


def pip() -> list[str]:
    """The command of pip: of this environment, or the one that Python itself carries."""
    if find_spec("pip"):
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


@pytest.mark.skipif(shutil.which("sh") is None, reason="the system has no sh")
def test_the_tutorial_runs_as_written(place: Path, environment: dict[str, str]) -> None:
    shown = {}
    lines = block("sh").splitlines()
    for line in lines:
        done = subprocess.run(
            ["sh", "-c", line], cwd=place, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        shown[line.split()[1]] = done.stdout
    assert [line.split()[1] for line in lines] == ["install", "models", "predict", "viz"]
    assert any(
        "bright/tiny" in line and "not needed" in line for line in shown["models"].splitlines()
    )
    rows = pq.read_table(place / "bright.parquet").to_pylist()
    assert [(row["key"], row["category"]) for row in rows] == [("lamp.png", "bright")]
    assert abs(rows[0]["area"] - 400) < 60
    with Image.open(place / "bright.jpg") as sheet:
        assert sheet.width > 100
