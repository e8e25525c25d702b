"""`segcli track` as a user calls it."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from scripts.studies.tracking import Faults, Walker, detections, line, records, write
from segcli.cli import app
from segcli.errors import UsageError


def run(*words: object) -> tuple[str, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout, result.stderr


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    path = tmp_path / "masks.parquet"
    frames = list(detections([Walker(line(40, 60, 28))], Faults(), until=1))
    write(path, records([(frame, seen) for frame, _, seen in frames], "cam/a.mp4"))
    return path


def test_it_says_what_was_done_and_what_was_missing(masks: Path) -> None:
    out, told = run("track", masks)
    assert out == f"10 new images, 1 new track, 10 masks with a number -> {masks}\n"
    assert "the start time of 1 clip is unknown, so it is tracked by itself" in told
    assert run("track", masks, "--quiet") == ("", "")
    assert run("track", masks)[0] == f"nothing new to track in {masks}\n"
    with pytest.raises(UsageError, match="was tracked with other options"):
        run("track", masks, "--max-gap", "5s")
    out, _ = run("track", masks, "--max-gap", "0.05s", "--restart")
    assert out.startswith("10 new images, 0 new tracks")


def test_frames_far_apart_are_told(masks: Path) -> None:
    with pytest.raises(UsageError, match="expected a number and s, m, h, d or w"):
        run("track", masks, "--max-gap", "soon")
    _, told = run("track", masks, "--max-gap", "0.05s")
    assert "9 of 9 images are more than --max-gap 0.05s after the previous one" in told
