"""`segcli compact` says what it made of the parts, and refuses nonsense."""

import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from segcli.cli import app
from segcli.errors import Locked
from segcli.store import Settings, lock_output, open_output
from segcli.types import Record, Sample


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """Three parts of one image each."""
    path = tmp_path / "masks.parquet"
    with open_output(path, Settings({}, {}), carried={}, categories=(("car",), (3,))) as out:
        for key in "abc":
            out.commit([Record(Sample(key, key), 4, 4)])
    return path


def test_small_parts_become_one(masks: Path) -> None:
    told = CliRunner().invoke(app, ["compact", str(masks)])
    assert told.exit_code == 0
    assert told.output == f"3 parts -> 1, 3 images: {masks}\n"
    assert len(list(masks.iterdir())) == 1


def test_parts_of_no_image_are_refused(masks: Path) -> None:
    told = CliRunner().invoke(app, ["compact", str(masks), "--images", "0"])
    assert told.exit_code != 0
    assert "at least 1" in str(told.exception)
    assert len(list(masks.iterdir())) == 3


def test_beside_a_run_it_ends_at_once_or_waits_for_its_end(masks: Path) -> None:
    run = lock_output(masks)
    told = CliRunner().invoke(app, ["compact", str(masks)])
    assert isinstance(told.exception, Locked)
    assert len(list(masks.iterdir())) == 3
    threading.Timer(0.2, run.close).start()
    told = CliRunner().invoke(app, ["compact", str(masks), "--wait", "--quiet"])
    assert (told.exit_code, told.output) == (0, "")
    assert len(list(masks.iterdir())) == 1
