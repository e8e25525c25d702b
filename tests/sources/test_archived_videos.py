"""Videos inside archives: their frames are those of the same video in a folder."""

import sys
import zipfile
from pathlib import Path

import pytest
from packing import KINDS, write

from segcli.errors import ImageError
from segcli.sources import archive_files, clip_file, open_source
from segcli.types import Sample
from segcli.video.every import parse_every
from segcli.video.frames import read_frames
from segcli.video.timeline import why_unreadable

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "video"))
from numbered import shown, write_clip  # noqa: E402

sys.path.pop(0)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """30 frames at 10 per second, as they may be in an archive."""
    folder = tmp_path_factory.mktemp("clips")
    return {
        name: write_clip(folder / name, 30, codec="libx264", b_frames=2).read_bytes()
        for name in ("a.mp4", "b.mkv")
    }


def listed(path: Path, every: str = "7f") -> list[Sample]:
    return list(open_source(str(path), every=parse_every(every)))


def indices(samples: list[Sample]) -> list[int]:
    """What the frames of one video show."""
    wanted = [sample.frame for sample in samples if sample.frame is not None]
    return [shown(frame.pixels) for frame in read_frames(clip_file(samples[0]), wanted)]


def zipped(path: Path, files: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def check(path: Path, names: list[str]) -> None:
    samples = listed(path)
    assert [s.key for s in samples] == [
        f"{path.name}/{name}#frame={index}" for name in names for index in range(0, 30, 7)
    ]
    for start in range(0, len(samples), 5):
        assert indices(samples[start : start + 5]) == [0, 7, 14, 21, 28]
    assert samples[1].time_s == pytest.approx(0.7)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_archive(kind: str, tmp_path: Path, clips: dict[str, bytes]) -> None:
    names = ["cam1/a.mp4", "b.mkv"]
    files = dict(zip(names, clips.values(), strict=True))
    check(write(tmp_path / f"o.{kind}", files), names)
    assert [path.name for path in tmp_path.iterdir()] == [f"o.{kind}"], "nothing is written"


def test_what_is_stored_as_it_is_is_read_in_place(
    tmp_path: Path, clips: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_files, "MAX_HELD_BYTES", 0)
    inner = zipped(tmp_path / "i.zip", {"a.mp4": clips["a.mp4"]})
    check(inner, ["a.mp4"])
    check(write(tmp_path / "o.tar", {"i.zip": inner.read_bytes()}), ["i.zip/a.mp4"])
    samples = listed(zipped(tmp_path / "c.zip", clips, zipfile.ZIP_DEFLATED))
    assert [sample.key for sample in samples] == ["c.zip/a.mp4", "c.zip/b.mkv"]
    reason = why_unreadable(clip_file(samples[0]))
    assert "compressed inside the archive" in reason
    assert "zip -0" in reason


def test_what_cannot_be_read_is_one_row(tmp_path: Path, clips: dict[str, bytes]) -> None:
    data = clips["b.mkv"]
    files = {
        "cut.mkv": data[: len(data) // 2],
        "empty.mp4": b"",
        "text.mp4": b"not a video",
        "types.ts": b"export type A = string;",
        "../../etc/x.mkv": data,
    }
    samples = listed(zipped(tmp_path / "a.zip", files), "1s")
    keys = [sample.key.removeprefix("a.zip/") for sample in samples]
    assert keys[-5:-3] == ["empty.mp4", "text.mp4"]
    assert keys[-3:] == [f"../../etc/x.mkv#frame={n}" for n in (0, 10, 20)]
    cut = samples[: keys.index("empty.mp4")]
    *there, last = read_frames(clip_file(cut[0]), [s.frame or 0 for s in cut])
    assert there
    assert "the video ends before this frame" in (last.error or "")
    assert "is empty" in why_unreadable(clip_file(samples[-5]))


def test_an_encrypted_or_damaged_member(tmp_path: Path, clips: dict[str, bytes]) -> None:
    path = zipped(tmp_path / "a.zip", {"a.mp4": clips["a.mp4"]}, zipfile.ZIP_DEFLATED)
    whole = bytearray(path.read_bytes())
    encrypted = bytearray(whole)
    for mark, at in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
        encrypted[encrypted.index(mark) + at] |= 1
    path.write_bytes(encrypted)
    (sample,) = listed(path)
    assert "password" in why_unreadable(clip_file(sample))
    whole[len(whole) // 2] ^= 255
    damaged = tmp_path / "d.zip"
    damaged.write_bytes(whole)
    (sample,) = listed(damaged)
    assert "cannot read it from the archive" in why_unreadable(clip_file(sample))
    path = write(tmp_path / "o.tar", clips)
    frame = listed(path)[0]
    path.unlink()
    with pytest.raises(ImageError, match="the archive has vanished"):
        clip_file(frame).open()


def test_fields_of_a_sidecar_ride_along(tmp_path: Path, clips: dict[str, bytes]) -> None:
    files = {"a.mp4": clips["a.mp4"], "a.json": b'{"site": "north"}'}
    (tmp_path / "in").mkdir()
    write(tmp_path / "in/o.tar", files)
    assert {s.carried["site"] for s in listed(tmp_path / "in")} == {"north"}


def test_a_list_names_a_frame(tmp_path: Path, clips: dict[str, bytes]) -> None:
    write(tmp_path / "o.tar", clips)
    (tmp_path / "list.txt").write_text("o.tar/a.mp4#frame=12\no.tar/b.mkv\n")
    first, *others = listed(tmp_path / "list.txt")
    assert (first.key, indices([first])) == ("o.tar/a.mp4#frame=12", [12])
    assert [s.key for s in others] == [f"o.tar/b.mkv#frame={n}" for n in range(0, 30, 7)]
