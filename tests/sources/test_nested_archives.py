"""Archives inside archives: read in place or in memory, to a bounded depth and size."""

import io
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from packing import KINDS, write

from segcli.errors import ImageError
from segcli.sources import archive_files, archive_images, open_source, read
from segcli.types import Sample
from segcli.video.every import parse_every

INNER = {f"in/{number}.jpg": bytes([number]) * 5000 for number in range(6)}


def listed(path: Path) -> list[Sample]:
    return list(open_source(str(path), every=parse_every("1s")))


def packed(name: str, files: dict[str, bytes], folder: Path) -> bytes:
    path = write(folder / name, files)
    data = path.read_bytes()
    path.unlink()
    return data


@pytest.mark.parametrize("outer", ["tar", "tar.gz", "zip"])
@pytest.mark.parametrize("inner", KINDS)
def test_members_of_inner_archives_are_read_in_any_order(
    outer: str, inner: str, tmp_path: Path
) -> None:
    one, two = (packed(f"{n}.{inner}", INNER, tmp_path) for n in "ab")
    files = {"0.jpg": b"0", f"sub/a.{inner}": one, "1.jpg": b"1", f"b.{inner}": two}
    samples = listed(write(tmp_path / f"o.{outer}", files))
    below = [
        "0.jpg",
        *(f"sub/a.{inner}/{name}" for name in INNER),
        "1.jpg",
        *(f"b.{inner}/{name}" for name in INNER),
    ]
    assert [s.key for s in samples] == [f"o.{outer}/{name}" for name in below]
    expected = [b"0", *INNER.values(), b"1", *INNER.values()]
    assert [read(s) for s in samples] == expected
    assert [read(s) for s in reversed(samples)] == expected[::-1]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, samples)) == expected
    assert [path.name for path in tmp_path.iterdir()] == [f"o.{outer}"], "nothing is written"


def test_what_is_stored_as_it_is_is_not_held_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = packed("a.zip", INNER, tmp_path)
    in_tar = packed("b.tar", {"a.zip": inner}, tmp_path)
    with zipfile.ZipFile(tmp_path / "o.zip", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("b.tar", in_tar)
    with zipfile.ZipFile(tmp_path / "c.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("b.tar", in_tar)
    monkeypatch.setattr(archive_files, "MAX_HELD_BYTES", 100)
    samples = listed(tmp_path / "o.zip")
    assert [read(s) for s in samples] == [*INNER.values()]
    (whole,) = listed(tmp_path / "c.zip")
    assert whole.key == "c.zip/b.tar"
    with pytest.raises(ImageError, match="are more than the 100 that are held in memory; unpack"):
        read(whole)


def test_a_damaged_inner_archive_is_one_row_after_what_can_be_read(tmp_path: Path) -> None:
    cut = packed("a.tar", INNER, tmp_path)[:15_000]
    samples = listed(write(tmp_path / "o.zip", {"a.tar": cut, "1.jpg": b"1"}))
    assert [s.key for s in samples][-2:] == ["o.zip/a.tar", "o.zip/1.jpg"]
    assert read(samples[0]) == INNER["in/0.jpg"]
    with pytest.raises(ImageError, match="the archive cannot be read to its end"):
        read(samples[-2])
    assert "o.zip/a.tar" not in [s.key for s in archive_images(str(tmp_path / "o.zip"), "o.zip")]


def test_archives_are_opened_to_a_depth(tmp_path: Path) -> None:
    data = packed("0.zip", INNER, tmp_path)
    for level in range(1, 6):
        data = packed(f"{level}.zip", {f"{level - 1}.zip": data, f"{level}.jpg": b"x"}, tmp_path)
    (tmp_path / "o.zip").write_bytes(data)
    samples = listed(tmp_path / "o.zip")
    assert samples[0].key == "o.zip/4.zip/3.zip/2.zip/1.zip"
    with pytest.raises(ImageError, match="archives are opened 3 deep inside others"):
        read(samples[0])
    assert len(samples) == 5


def test_an_inner_archive_without_images_is_no_row(tmp_path: Path) -> None:
    inner = packed("a.zip", {"notes.txt": b""}, tmp_path)
    assert [s.key for s in listed(write(tmp_path / "o.tar", {"a.zip": inner, "1.jpg": b"1"}))] == [
        "o.tar/1.jpg"
    ]


@pytest.mark.parametrize("kind", ["7z", "rar"])
def test_other_kinds_say_so(kind: str, tmp_path: Path) -> None:
    (tmp_path / f"a.{kind}").write_bytes(b"7z\xbc\xaf'\x1c")
    (tmp_path / "1.jpg").write_bytes(b"1")
    whole = next(s for s in listed(tmp_path) if s.key == f"a.{kind}")
    with pytest.raises(ImageError, match=f"of the kind {kind} are not read; unpack it, or pack"):
        read(whole)
    (inner,) = listed(write(tmp_path / "o.zip", {f"x.{kind}": b"?"}))
    with pytest.raises(ImageError, match=f"of the kind {kind} are not read"):
        read(inner)


def test_an_encrypted_inner_archive_says_so(tmp_path: Path) -> None:
    data = bytearray(packed("o.zip", {"a.zip": packed("a.zip", INNER, tmp_path)}, tmp_path))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.index(mark) if offset == 6 else data.rindex(mark)
        data[at + offset] |= 1
    with zipfile.ZipFile(io.BytesIO(bytes(data))) as archive:
        assert archive.infolist()[0].flag_bits & 1, "else this test shows nothing"
    (tmp_path / "o.zip").write_bytes(data)
    (whole,) = listed(tmp_path / "o.zip")
    with pytest.raises(ImageError, match="encrypted"):
        read(whole)
