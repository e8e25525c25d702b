"""`segcli status` on outputs in every state."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from segcli.cli import app
from segcli.cli.status import size_text
from segcli.errors import UsageError
from segcli.masks.rle import encode
from segcli.store import Settings, open_output
from segcli.store.directory import lock_path
from segcli.store.lock import acquire
from segcli.types import Record, Sample, Segment

FACTS = Settings(
    {
        "family": "maskrcnn", "variant": "mobilenet", "precision": "float32", "min_score": 0.05,
        "max_masks": 100, "categories": None, "source_root": "/archive",
    },
    {"default_score": 0.62, "weights": "mobilenet.safetensors"},
)  # fmt: skip


def status(*words: object) -> Result:
    return CliRunner().invoke(app, ["status", *map(str, words)])


def written(path: Path, *, shard: str | None = None):
    settings = Settings(FACTS.compared, FACTS.recorded, shard=shard)
    return open_output(path, settings, carried={}, categories=(("person", "car"), (1, 3)))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Two parts: three images with three masks, one of the images failed."""
    path = tmp_path / "masks.parquet"
    square = Segment(0, 0.9, (0.0, 0.0, 2.0, 2.0), 4, encode(np.ones((2, 2), dtype=bool)))
    with written(path) as output:
        output.commit([Record(Sample("a.jpg", "a.jpg"), 2, 2, [square, square])])
        output.commit(
            [
                Record(Sample("b.jpg", "b.jpg"), 2, 2, [square]),
                Record(Sample("c.jpg", "c.jpg"), None, None, error="truncated"),
            ]
        )
    return path


def test_people_read_a_table_that_fits(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(out.parent)
    result = status("masks.parquet")
    assert result.exit_code == 0
    lines = dict(
        re.split(r"  +| (?=none$)", line, maxsplit=1) for line in result.stdout.splitlines()
    )
    assert lines["images"] == "3, of which 1 failed"
    assert lines["masks"] == "3"
    assert lines["parts"].startswith("2, ")
    assert lines["newest part"].endswith("UTC, 0 minutes ago")
    assert lines["model"] == "maskrcnn/mobilenet (mobilenet.safetensors), float32"
    assert lines["kept"] == "scores from 0.05, 100 masks per image"
    assert "default score  0.62; viz, stats, report and export start there" in result.stdout
    assert lines["categories"] == "person, car"
    assert lines["source"] == "/archive"
    assert lines["writer"] == "none"
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_programs_read_json(out: Path) -> None:
    found = json.loads(status(out, "--json").stdout)
    assert (found["images"], found["masks"], found["failed"], found["parts"]) == (3, 3, 1, 2)
    assert found["size"] == sum(part.stat().st_size for part in out.iterdir())
    assert abs((datetime.now(UTC) - datetime.fromisoformat(found["newest"])).total_seconds()) < 600
    assert found["settings"]["default_score"] == 0.62
    assert found["settings"]["category_names"] == ["person", "car"]
    assert found["sources"] == {"": ["/archive"]}
    assert (found["writer"], found["problems"]) == (None, [])


def test_an_output_that_is_being_written(out: Path) -> None:
    with written(out):
        found = json.loads(status(out, "--json").stdout)
        assert found["writer"].keys() == {"pid", "host"}
        assert "process " in status(out).stdout
    assert json.loads(status(out, "--json").stdout)["writer"] is None


def test_the_first_run_has_no_part_yet(tmp_path: Path) -> None:
    with written(tmp_path / "new.parquet"):
        result = status(tmp_path / "new.parquet")
    assert result.exit_code == 0
    assert "none yet" in result.stdout


def test_shards_are_named(tmp_path: Path) -> None:
    with written(tmp_path / "m.parquet", shard="0/2"):
        result = status(tmp_path / "m.parquet")
    assert result.exit_code == 0
    assert "the shards of a run" in result.stdout


def test_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "empty.parquet").mkdir()
    result = status(tmp_path / "empty.parquet", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["parts"] == 0


def test_damaged_and_foreign_files_are_problems(out: Path) -> None:
    part = sorted(out.iterdir())[0]
    part.write_bytes(part.read_bytes()[:50])
    result = status(out, "--json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["parts"]) == (2, 1)
    assert len(found["problems"]) == 1
    assert "damaged or only partly copied" in found["problems"][0]
    (out / "notes.txt").write_text("x")
    result = status(out)
    assert result.exit_code == 2
    assert "parts          1, " in result.stdout
    assert "notes.txt" in result.stderr


def test_what_is_not_an_output(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path, said in ((tmp_path / "none", "does not exist"), (tmp_path / "file", "is a file")):
        error = status(path).exception
        assert isinstance(error, UsageError)
        assert said in str(error)


def test_a_look_at_the_lock_disturbs_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that starts in the moment of the look waits for it instead of ending with 4."""
    import fcntl
    import os

    path = lock_path(tmp_path / "m.parquet")
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(fd, fcntl.LOCK_EX)
    monkeypatch.setattr("segcli.store.lock.time.sleep", lambda _: os.close(fd))
    acquire(path, output="m.parquet", wait=False).close()


def test_sizes() -> None:
    assert [size_text(n) for n in (12, 3_400, 5_600_000, 7.8e12)] == [
        "12 bytes",
        "3.4 kB",
        "5.6 MB",
        "7.8 TB",
    ]
