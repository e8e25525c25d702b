"""Files that are still being written when a run reads them."""

import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.dataset
import pytest

import segcli
import segcli.pipeline.stages.prefetch
from segcli.errors import NothingDone
from segcli.pipeline.events import Summary


def run(source: Path, out: Path, **options: Any) -> Summary:
    given = {"model": "toy", "device": "cpu", "precision": "float32", "replicas": 0} | options
    return segcli.predict(source, out=out, **given)


def errors(out: Path) -> dict[str, str | None]:
    table = pyarrow.dataset.dataset(out).to_table(columns=["key", "error"])
    return {row["key"]: row["error"] for row in table.to_pylist()}


@pytest.fixture
def grows(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Calls a function once, after the listing and before the first sample is read."""

    def later(change: Callable[[], Any]) -> None:
        stage = segcli.pipeline.stages.prefetch
        groups, waiting = stage.grouped_by_clip, [change]

        def grouped(samples: Any) -> Any:
            while waiting:
                waiting.pop()()
            return groups(samples)

        monkeypatch.setattr(stage, "grouped_by_clip", grouped)

    return later


def test_a_clip_that_grows(
    tmp_path: Path, clip: Path, pictures: Callable[..., Path], grows: Callable[..., None]
) -> None:
    folder, out, whole = pictures(1), tmp_path / "m.parquet", clip.read_bytes()
    growing = folder / "clip.mkv"
    growing.write_bytes(whole[: len(whole) // 2])
    grows(lambda: growing.write_bytes(whole))
    first = run(folder, out)
    rows = errors(out)
    assert first.failed == len(rows) - 1 >= 2
    assert all("still being written" in (e or "") for k, e in rows.items() if "clip" in k)
    again = run(folder, out)
    # The row that said where the half of the clip ended is gone.
    assert (again.images, again.failed) == (3, 0)
    assert errors(out) == dict.fromkeys(["0000.png", *(f"clip.mkv#frame={n}" for n in (0, 10, 20))])
    assert run(folder, out).images == 0


def test_a_clip_that_has_no_index_yet(
    tmp_path: Path, clip: Path, pictures: Callable[..., Path], grows: Callable[..., None]
) -> None:
    folder, out = pictures(1), tmp_path / "m.parquet"
    growing = folder / "clip.mkv"
    growing.write_bytes(b"")
    grows(lambda: growing.write_bytes(clip.read_bytes()))
    assert run(folder, out).failed == 1
    assert "still being written: 0 bytes when" in (errors(out)["clip.mkv"] or "")
    assert run(folder, out).failed == 0
    assert "clip.mkv" not in errors(out)


def test_an_archive_that_grows(
    tmp_path: Path, pictures: Callable[..., Path], grows: Callable[..., None]
) -> None:
    pictures(3, name="members")
    archive, out = tmp_path / "a.tar", tmp_path / "m.parquet"

    def add(name: str) -> None:
        with tarfile.open(archive, "a") as tar:
            tar.add(tmp_path / "members" / name, name)
        os.utime(archive, ns=(1, archive.stat().st_mtime_ns + 1000))

    add("0000.png")
    grows(lambda: add("0001.png"))
    with pytest.raises(NothingDone, match="still being written"):
        run(archive, out)
    assert set(errors(out)) == {"a.tar/0000.png"}
    assert run(archive, out).failed == 0
    assert errors(out) == {"a.tar/0000.png": None, "a.tar/0001.png": None}


def test_other_failed_rows_stay(tmp_path: Path, clip: Path, pictures: Callable[..., Path]) -> None:
    """A frame that failed and is left out by another `every` is not outdated."""
    folder, out = pictures(1), tmp_path / "m.parquet"
    data = clip.read_bytes()
    (folder / "clip.mkv").write_bytes(data[: len(data) * 2 // 3])
    run(folder, out, every="1f")
    failed = {key for key, error in errors(out).items() if error}
    assert failed
    run(folder, out, every="5f")
    assert failed <= {key for key, error in errors(out).items() if error}
