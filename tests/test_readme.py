"""What README shows runs: its Python blocks, its exit codes, its options."""

import contextlib
import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts.figures import models
from segcli.errors import ExitCode
from segcli.masks.rle import encode
from segcli.store import Settings, open_output
from segcli.types import Record, Sample, Segment

README = (Path(__file__).resolve().parent.parent / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """masks.parquet in the current directory: two masks, an empty image, a failed one."""
    monkeypatch.chdir(tmp_path)
    settings = Settings(compared={"source": str(tmp_path)}, recorded={})
    inside = encode(np.ones((2, 2), dtype=bool))
    square = Segment(0, 0.9, (0.0, 0.0, 2.0, 2.0), 4, inside)
    records = [
        Record(Sample("a.jpg", "a.jpg"), 2, 2, [square, square]),
        Record(Sample("b.jpg", "b.jpg"), 2, 2),
        Record(Sample("c.jpg", "c.jpg"), None, None, error="truncated"),
    ]
    path = tmp_path / "masks.parquet"
    with open_output(path, settings, carried={}, categories=(("person",), (1,))) as out:
        out.commit(records)


def printed(block: str) -> tuple[str, dict]:
    names: dict = {}
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        exec(compile(block, "README.md", "exec"), names)
    return told.getvalue(), names


def block_with(word: str) -> str:
    return next(block for block in BLOCKS if word in block)


@pytest.mark.slow
@pytest.mark.usefixtures("output")
def test_pandas_lists_what_failed() -> None:
    text, _ = printed(block_with("read_parquet"))
    assert "c.jpg" in text
    assert "truncated" in text


@pytest.mark.usefixtures("output")
def test_polars_counts_by_category() -> None:
    text, _ = printed(block_with("polars"))
    assert re.search(r"person\s*┆\s*2", text)


@pytest.mark.usefixtures("output")
def test_duckdb_counts_masks_and_images() -> None:
    text, _ = printed(block_with("duckdb"))
    assert re.search(r"person\s*│\s*2\s*│\s*1", text)


@pytest.mark.usefixtures("output")
def test_a_mask_is_decoded() -> None:
    _, names = printed(block_with("segcli.decode"))
    assert names["mask"].tolist() == [[True, True], [True, True]]


def test_the_table_of_models_is_that_of_the_families() -> None:
    block = README.partition(f"{models.BEGIN}\n")[2].partition(f"\n{models.END}")[0]
    assert block == models.table(), "run python -m scripts.figures.models"


def test_every_exit_code_is_told() -> None:
    section = README.partition("## Exit codes")[2].partition("##")[0]
    told = {
        int(code)
        for line in re.findall(r"^\| ([\d, ]+) \|", section, re.M)
        for code in line.split(",")
    }
    assert told == {int(code) for code in ExitCode}


def test_every_option_of_the_examples_exists() -> None:
    from typer.main import get_command

    from segcli.cli import app

    commands = get_command(app).commands
    for line in re.findall(r"segcli (predict|train) ([^\n#]*)", README):
        known = {name for parameter in commands[line[0]].params for name in parameter.opts}
        used = set(re.findall(r"--[a-z-]+", line[1]))
        assert used - {"--help"} <= known


@pytest.mark.skipif(shutil.which("env") is None, reason="the system has no env")
def test_the_line_for_cron_runs_with_the_environment_of_cron(tmp_path: Path) -> None:
    """Its times left out, its paths replaced: no variable is set but those that cron sets."""
    (line,) = re.findall(r"^(?:\S+ ){5} *(/.*segcli predict .*)$", README, re.M)
    assert "opt/segcli/.venv/bin/segcli" in line
    images = tmp_path / "cam"
    images.mkdir()
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(images / "a.png")
    line = line.replace("/opt/segcli/.venv/bin/segcli", str(Path(sys.executable).parent / "segcli"))
    line = line.replace("/data/cam", str(images)).replace("/data/", f"{tmp_path}/")
    set_by_cron = [f"HOME={tmp_path}", "LOGNAME=nobody", "PATH=/usr/bin:/bin", "SHELL=/bin/sh"]
    ended = subprocess.run(
        ["env", "-i", *set_by_cron, "/bin/sh", "-c", line],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert len(list((tmp_path / "masks.parquet").iterdir())) == 1
