"""Archives and videos of which everything has rows are not opened again."""

import errno
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from toy_data import keys

import segcli
import segcli.sources.archive
import segcli.video.frames  # before its neighbour is replaced
import segcli.video.timeline
from segcli.errors import NothingDone
from segcli.pipeline.events import Summary
from segcli.store import compact
from segcli.store.part_file import read_footer


def run(source: Path, out: Path, **options: Any) -> Summary:
    given = {"model": "toy", "device": "cpu", "precision": "float32", "replicas": 0} | options
    return segcli.predict(source, out=out, **given)


@pytest.fixture
def footage(tmp_path: Path, pictures: Callable[..., Path], clip: Path) -> Path:
    """An archive of four images, a clip of 30 frames, an image, a broken archive and clip."""
    pictures(4, name="members")
    folder = pictures(1, name="in")
    with tarfile.open(folder / "a.tar", "w") as tar:
        for path in sorted((tmp_path / "members").iterdir()):
            tar.add(path, path.name)
    (folder / "clip.mkv").write_bytes(clip.read_bytes())
    (folder / "broken.tar.gz").write_bytes(b"nothing")
    (folder / "broken.mp4").write_bytes(b"")
    return folder


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of archives and videos that are listed from now on."""
    names: list[str] = []
    members, timeline = segcli.sources.archive._members, segcli.video.timeline.read_timeline

    def listed_archive(path: str, sidecars: bool = False) -> Any:
        names.append(os.path.basename(path))
        return members(path, sidecars)

    def listed_clip(file: Any, stream: int = 0) -> Any:
        names.append(os.path.basename(file.name))
        return timeline(file, stream)

    monkeypatch.setattr(segcli.sources.archive, "_members", listed_archive)
    monkeypatch.setattr(segcli.video.timeline, "read_timeline", listed_clip)
    return names


ALL = {"a.tar", "clip.mkv", "broken.tar.gz", "broken.mp4"}
IMAGES = 1 + 4 + 3 + 2


def test_what_is_done_is_not_opened_again(footage: Path, tmp_path: Path, opened: list[str]) -> None:
    out = tmp_path / "m.parquet"
    run(footage, out)
    assert {*opened} == ALL
    opened.clear()
    again = run(footage, out)
    assert (again.images, again.earlier, again.earlier_failed) == (0, IMAGES, 2)
    assert run(footage, out, dry_run=True).earlier == IMAGES
    assert opened == []
    # Failed ones only, where they are to be tried again.
    with pytest.raises(NothingDone, match="not one of 2 images"):
        run(footage, out, retry_failed=True)
    assert {*opened} == {"broken.tar.gz", "broken.mp4"}


def test_an_interrupted_run_notes_what_it_has_finished(
    footage: Path, tmp_path: Path, opened: list[str]
) -> None:
    out = tmp_path / "m.parquet"
    assert run(footage, out, limit=6, chunk_size=2).images == 6
    opened.clear()
    assert run(footage, out, limit=3, chunk_size=2).earlier == 6
    assert "a.tar" not in opened
    assert "clip.mkv" in opened


@pytest.mark.parametrize("change", ["time", "every", "include", "rows"])
def test_what_has_changed_is_opened(
    footage: Path, tmp_path: Path, opened: list[str], change: str
) -> None:
    out = tmp_path / "m.parquet"
    run(footage, out, chunk_size=2)
    opened.clear()
    options: dict[str, Any] = {}
    if change == "time":
        os.utime(footage / "a.tar", (1, 1))
        os.utime(footage / "clip.mkv", (1, 1))
    elif change == "every":
        options["every"] = "5f"
    elif change == "include":
        options["include"] = ("*",)
    else:
        gone = [
            p for p in out.iterdir() if not read_footer(p).complete and b"clip" in p.read_bytes()
        ]
        gone[0].unlink()
    expected = {"clip.mkv"} if change == "rows" else {"a.tar", "clip.mkv"}
    run(footage, out, **options)
    assert {*opened} >= expected
    assert len(keys(out)) == IMAGES + (3 if change == "every" else 0)
    opened.clear()
    run(footage, out, **options)
    assert opened == []


def test_merging_parts_keeps_what_is_known(
    footage: Path, tmp_path: Path, opened: list[str]
) -> None:
    out = tmp_path / "m.parquet"
    run(footage, out, chunk_size=2)
    compact(out, images=1000)
    opened.clear()
    assert run(footage, out).earlier == IMAGES
    assert opened == []


class Failing:
    """A file on a network disk that breaks off after `good` reads."""

    def __init__(self, path: str, good: int) -> None:
        self._file, self._good = io.BytesIO(Path(path).read_bytes()), good

    def __enter__(self) -> "Failing":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, size: int = -1) -> bytes:
        self._good -= 1
        if self._good < 0:
            raise OSError(errno.EIO, "Input/output error")
        return self._file.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def test_what_a_failing_disk_broke_off_is_listed_again(
    footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "m.parquet"
    archives, clips = segcli.sources.archive, segcli.video.timeline
    with monkeypatch.context() as patch:
        # Two of the four members, and no more than the beginning of the clip, can be read.
        patch.setattr(archives, "open_bytes", lambda place: Failing(place.path, 3))

        def opened(path: Any, *args: Any, **options: Any) -> Any:
            raise OSError(errno.EIO, "Input/output error")

        patch.setattr(clips.av, "open", opened)
        first = run(footage, out)
    assert first.failed >= 2
    assert len([key for key in keys(out) if key.startswith("a.tar/")]) < 4
    run(footage, out)
    assert len([key for key in keys(out) if key.startswith("a.tar/")]) == 4
    assert len([key for key in keys(out) if key.startswith("clip.mkv#")]) == 3
