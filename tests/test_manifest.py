"""A manifest of an archive: facts of every image, restarts, splits."""

import hashlib
import sys
import tarfile
import threading
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from segcli import manifest
from segcli.errors import ImageError, Locked, UsageError
from segcli.manifest import make_manifest, split_of
from segcli.manifest import rows as rows_of
from segcli.sources import open_source, read
from segcli.store.lock import acquire
from segcli.video.every import parse_every

sys.path.insert(0, str(Path(__file__).resolve().parent / "video"))
from numbered import write_clip  # noqa: E402

sys.path.pop(0)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    (folder / "cam").mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0132], exif[0x0112] = "2024:05:06 07:08:09", 6
    exif[0x010F], exif[0x0110] = "Leica", "M6"
    Image.new("RGB", (30, 20), "red").save(folder / "cam/a.jpg", exif=exif)
    Image.new("L", (5, 7)).save(folder / "b.png")
    whole = (folder / "cam/a.jpg").read_bytes()
    (folder / "torn.jpg").write_bytes(whole[: len(whole) - 40])
    return folder


def rows(path: Path) -> dict[str, dict]:
    return {row["path"]: row for row in pq.read_table(path).to_pylist()}


@pytest.mark.slow
def test_the_facts_of_every_image(archive: Path, tmp_path: Path) -> None:
    summary = make_manifest(str(archive), tmp_path / "m.parquet")
    found = rows(tmp_path / "m.parquet")
    assert list(found) == ["archive/b.png", "archive/cam/a.jpg", "archive/torn.jpg"]
    turned = found["archive/cam/a.jpg"]
    data = (archive / "cam/a.jpg").read_bytes()
    assert turned["sha256"] == hashlib.sha256(data).hexdigest()
    assert (turned["height"], turned["width"], turned["format"]) == (30, 20, "JPEG")
    assert turned["taken"] == "2024:05:06 07:08:09"
    assert turned["camera"] == "Leica M6"
    assert found["archive/b.png"]["camera"] is None
    assert turned["size_bytes"] == len(data)
    assert "truncated" in found["archive/torn.jpg"]["error"]
    assert (summary.images, summary.broken, summary.known) == (3, 1, 0)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".m.parquet.lock", "archive", "m.parquet"]


def test_a_second_run_at_once_is_told_and_may_wait(archive: Path, tmp_path: Path) -> None:
    held = acquire(tmp_path / ".m.parquet.lock", output=tmp_path, wait=False)
    with pytest.raises(Locked, match=r"another process is using .*m.parquet.*wait=True"):
        make_manifest(str(archive), tmp_path / "m.parquet")
    timer = threading.Timer(0.2, held.close)
    timer.start()
    assert make_manifest(str(archive), tmp_path / "m.parquet", wait=True).images == 3
    timer.join()


def test_predict_can_start_from_it(archive: Path, tmp_path: Path) -> None:
    make_manifest(str(archive), tmp_path / "m.parquet", split=(0.5, 0.5))
    source = open_source(str(tmp_path / "m.parquet"))
    assert [sample.key for sample in source][:2] == ["archive/b.png", "archive/cam/a.jpg"]
    assert all(Path(sample.path).is_file() for sample in source)
    assert "split" in source.carried


def test_what_is_known_is_not_read_again(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_manifest(str(archive), tmp_path / "m.parquet")
    Image.new("RGB", (3, 3)).save(archive / "new.png")
    seen = []
    monkeypatch.setattr(
        rows_of, "content", lambda sample, quick: seen.append(sample.key) or {"error": "seen"}
    )
    summary = make_manifest(str(archive), tmp_path / "m.parquet")
    assert seen == ["new.png"]
    assert (summary.images, summary.known) == (4, 3)


def test_a_killed_run_goes_on(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "_CHUNK", 1)
    real, calls = rows_of.content, []

    def dying(sample, quick):
        calls.append(sample.key)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(sample, quick)

    monkeypatch.setattr(rows_of, "content", dying)
    with pytest.raises(KeyboardInterrupt):
        make_manifest(str(archive), tmp_path / "m.parquet", workers=1)
    assert not (tmp_path / "m.parquet").exists()
    summary = make_manifest(str(archive), tmp_path / "m.parquet", workers=1)
    assert calls == ["b.png", "cam/a.jpg", "torn.jpg", "torn.jpg"]
    assert (summary.images, summary.known, summary.broken) == (3, 2, 1)


def test_pixels_are_looked_at_after_a_run_that_did_not(archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.parquet"
    make_manifest(str(archive), out, header_only=True)
    assert make_manifest(str(archive), out, header_only=True).known == 3
    summary = make_manifest(str(archive), out)
    assert (summary.known, summary.broken) == (0, 1)
    assert make_manifest(str(archive), out).known == 3


def test_an_image_that_could_not_be_read_is_tried_again(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(sample: object) -> bytes:
        raise ImageError("the disk is tired")

    with monkeypatch.context() as tired:
        tired.setattr(rows_of, "read", failing)
        assert make_manifest(str(archive), tmp_path / "m.parquet").broken == 3
    summary = make_manifest(str(archive), tmp_path / "m.parquet")
    assert (summary.known, summary.broken) == (0, 1)


def test_a_split_depends_on_the_content_alone(archive: Path, tmp_path: Path) -> None:
    (archive / "copy.png").write_bytes((archive / "b.png").read_bytes())
    make_manifest(str(archive), tmp_path / "m.parquet", split=(0.8, 0.1, 0.1))
    found = rows(tmp_path / "m.parquet")
    assert found["archive/copy.png"]["split"] == found["archive/b.png"]["split"]
    assert found["archive/torn.jpg"]["split"] is None


def test_shares_of_a_split() -> None:
    assert split_of("0" * 64, (0.8, 0.1, 0.1)) == "train"
    assert split_of("f" * 64, (0.8, 0.1, 0.1)) == "test"
    assert split_of("d9" + "0" * 62, (0.8, 0.1, 0.1)) == "val"
    hashes = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(4000)]
    taken = [split_of(one, (0.75, 0.25)) for one in hashes]
    assert taken.count("train") == pytest.approx(3000, abs=120)


@pytest.mark.parametrize("split", [(0.5,), (0.5, 0.6), (1.2, -0.2), (0.25,) * 4, (float("nan"), 1)])
def test_wrong_shares_are_refused(tmp_path: Path, split: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="--split"):
        make_manifest("anywhere", tmp_path / "m.parquet", split=split)
    with pytest.raises(UsageError, match="--workers 0"):
        make_manifest("anywhere", tmp_path / "m.parquet", workers=0)


def test_another_file_in_its_place_is_refused(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "m.parquet").write_text("mine")
    with pytest.raises(UsageError, match="is not a manifest"):
        make_manifest(str(archive), tmp_path / "m.parquet")
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [".m.parquet.lock", "archive", "m.parquet"]


def test_warnings_are_counted_and_old_manifests_read(archive: Path, tmp_path: Path) -> None:
    Image.new("L", (9, 9)).save(
        archive / "two.tif", save_all=True, append_images=[Image.new("L", (9, 9))]
    )
    assert make_manifest(str(archive), tmp_path / "m.parquet").warned == 1
    found = rows(tmp_path / "m.parquet")
    assert found["archive/two.tif"]["warning"] == "several pages: the first of 2 is read"
    table = pq.read_table(tmp_path / "m.parquet")
    pq.write_table(table.drop_columns("warning"), tmp_path / "m.parquet")
    summary = make_manifest(str(archive), tmp_path / "m.parquet")
    assert (summary.images, summary.known, summary.warned) == (4, 4, 0)


def test_videos_and_archives_as_predict_lists_them(archive: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(archive / "z.zip", "w") as inner:
        inner.write(archive / "b.png", "in/b.png")
    with tarfile.open(archive / "t.tar", "w") as tar:
        tar.add(archive / "z.zip", "z.zip")
        tar.add(archive / "cam/a.jpg", "a.jpg")
    write_clip(archive / "clip.mp4", 25, metadata={"creation_time": "2026-11-18T11:00:00Z"})
    (archive / "not.mp4").write_bytes(b"")
    (archive / "not.tar").write_bytes(b"?")
    out = tmp_path / "m.parquet"
    summary = make_manifest([str(archive), str(archive / "b.png")], out, split=(0.5, 0.5))
    found = rows(out)
    frames = [f"archive/clip.mp4#frame={index}" for index in (0, 10, 20)]
    members = ["archive/t.tar/a.jpg", "archive/t.tar/z.zip/in/b.png", "archive/z.zip/in/b.png"]
    assert {*frames, *members} <= {*found}
    assert found[members[1]]["sha256"] == found["archive/b.png"]["sha256"]
    assert "is empty" in found["archive/not.mp4"]["error"]
    assert "cannot be read to its end" in found["archive/not.tar"]["error"]
    last = found[frames[2]]
    assert (last["frame"], last["time_s"], last["height"]) == (20, 2.0, 64)
    assert (last["taken"], last["format"]) == ("2026-11-18 11:00:00", "video")
    assert len({found[frame]["split"] for frame in frames}) == 1
    assert len({found[frame]["sha256"] for frame in frames}) == 3
    assert (summary.images, summary.repeated, summary.broken) == (11, 1, 3)
    assert make_manifest([str(archive)], out).known == 11 - 2, "but for what cannot be opened"
    # predict finds all of them again, under the same paths.
    samples = {sample.key: sample for sample in open_source(str(out), every=parse_every("1s"))}
    assert {*frames, *members} <= {*samples}
    assert read(samples[members[1]]) == (archive / "b.png").read_bytes()
    frame = samples[frames[2]]
    assert (frame.frame, frame.time_s, frame.path) == (20, 2.0, str(archive / "clip.mp4"))
    assert frame.mtime_ns == found[frames[2]]["mtime_ns"]


def test_an_image_in_two_sources_is_listed_once(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "_CHUNK", 2)
    out = tmp_path / "m.parquet"
    sources = [f"all={archive}", f"again={archive / 'cam'}", str(archive / "b.png")]
    found = make_manifest(sources, out)
    assert (found.images, found.repeated) == (3, 2)
    paths = [row["path"] for row in pq.read_table(out).to_pylist()]
    assert sorted(paths) == ["archive/b.png", "archive/cam/a.jpg", "archive/torn.jpg"]
