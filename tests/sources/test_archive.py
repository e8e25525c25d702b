"""Images inside archives: keys, bytes, order, damage, and names that try to leave the archive."""

import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from packing import KINDS, write

from segcli.errors import ImageError
from segcli.sources import open_source, read
from segcli.types import Sample
from segcli.video.every import parse_every

FILES = {f"shard/{number:03d}.jpg": bytes([number]) * (1000 + number) for number in range(40)}


def listed(path: Path) -> list[Sample]:
    return list(open_source(str(path), every=parse_every("1s")))


@pytest.mark.parametrize("kind", KINDS)
def test_members_are_listed_and_read_in_any_order(kind: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"a.{kind}", {**FILES, "shard/notes.txt": b"no image"})
    samples = listed(path)
    assert [s.key for s in samples] == [f"a.{kind}/{name}" for name in FILES]
    assert [s.size_bytes for s in samples] == [len(data) for data in FILES.values()]
    assert [read(s) for s in samples] == list(FILES.values())
    assert [read(s) for s in reversed(samples)] == list(reversed(FILES.values()))
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, samples)) == list(FILES.values())


def test_archives_among_images_and_in_lists(tmp_path: Path) -> None:
    (tmp_path / "data/cam").mkdir(parents=True)
    (tmp_path / "data/z.jpg").write_bytes(b"z")
    write(tmp_path / "data/cam/a.tar", {"1.jpg": b"1"})
    keys = ["cam/a.tar/1.jpg", "z.jpg"]
    assert [s.key for s in listed(tmp_path / "data")] == keys
    (tmp_path / "list.txt").write_text("data/cam/a.tar\n")
    assert [s.key for s in listed(tmp_path / "list.txt")] == ["data/cam/a.tar/1.jpg"]


def test_a_shard_takes_its_own_images_of_every_archive(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write(tmp_path / "data/a.tar", FILES)
    source = open_source(str(tmp_path / "data"), every=parse_every("1s"))
    wanted = {f"a.tar/{name}" for name in list(FILES)[::3]}
    assert {s.key for s in source.only(wanted.__contains__)} == wanted


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_names_that_lead_elsewhere_are_keys_and_nothing_is_written(
    kind: str, tmp_path: Path
) -> None:
    files = {"../../up.jpg": b"up", "/etc/abs.jpg": b"abs", "./dot.jpg": b"dot"}
    samples = listed(write(tmp_path / f"a.{kind}", files))
    assert [s.key for s in samples] == [
        f"a.{kind}/../../up.jpg", f"a.{kind}//etc/abs.jpg", f"a.{kind}/dot.jpg"
    ]  # fmt: skip
    assert [read(s) for s in samples] == [b"up", b"abs", b"dot"]
    assert [path.name for path in tmp_path.iterdir()] == [f"a.{kind}"]


def test_folders_of_macs_and_hidden_files_are_left_out(tmp_path: Path) -> None:
    files = {"__MACOSX/._a.jpg": b"", ".hidden/b.jpg": b"", "c.jpg": b"c"}
    assert [s.key for s in listed(write(tmp_path / "a.zip", files))] == ["a.zip/c.jpg"]


@pytest.mark.parametrize("kind", KINDS)
def test_of_a_cut_archive_what_is_there_comes_and_then_one_reason(
    kind: str, tmp_path: Path
) -> None:
    import random

    noise = random.Random(5)
    files = {f"{number:02d}.jpg": noise.randbytes(200_000) for number in range(12)}
    path = write(tmp_path / f"a.{kind}", files)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    samples = listed(path)
    assert samples[-1].key == f"a.{kind}"
    with pytest.raises(ImageError, match=r"cannot be read to its end"):
        read(samples[-1])
    good = 0
    for sample in samples[:-1]:
        try:
            assert read(sample) == files[sample.key.rpartition("/")[2]]
            good += 1
        except ImageError:
            continue
    # A zip's directory is at its end; of a block-wise compressed tar the last block is lost.
    assert good >= {"zip": 0, "tar.bz2": 4}.get(kind, 5)


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", FILES)
    data = bytearray(path.read_bytes())
    header = 20 * (512 + 1024)  # of the entry number 20; the entries before it fill 1,024 bytes
    data[header + 100 : header + 160] = b"x" * 60
    path.write_bytes(data)
    samples = listed(path)
    assert samples[-1].key == "a.tar"
    assert len(samples) == 21


def test_an_encrypted_member_and_a_bomb_say_so(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", {"a.jpg": b"secret"})
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + offset] |= 1
    path.write_bytes(data)
    with pytest.raises(ImageError, match="encrypted"):
        read(listed(path)[0])
    bomb = write(tmp_path / "b.zip", {"zeros.png": bytes(80 << 20)})
    with pytest.raises(ImageError, match="bomb"):
        read(listed(bomb)[0])


def test_an_archive_without_images_is_a_row_that_says_so(tmp_path: Path) -> None:
    (sample,) = listed(write(tmp_path / "a.zip", {"notes.txt": b""}))
    with pytest.raises(ImageError, match="no image in the archive"):
        read(sample)


@pytest.mark.parametrize(
    ("made", "name", "reason"),
    [
        ("a.tar", "b.zip", "not a zip but a tar archive: rename it to .tar"),
        ("a.zip", "b.tar.gz", "not a tar but a zip archive: rename it to .zip"),
        (None, "b.tar", "the archive is empty"),
    ],
)
def test_an_archive_with_the_name_of_another_kind(
    tmp_path: Path, made: str | None, name: str, reason: str
) -> None:
    path = tmp_path / name
    if made is None:
        path.write_bytes(b"")
    else:
        write(tmp_path / made, {"0.jpg": b"x"}).rename(path)
    (sample,) = open_source(str(path), every=parse_every("1s"))
    with pytest.raises(ImageError, match=reason):
        read(sample)


@pytest.mark.parametrize("size", [-1, 2**63, 2**70])
def test_a_tar_whose_header_states_an_impossible_size_is_damaged(size: int, tmp_path: Path) -> None:
    """No column holds such a number."""
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo("ok.png"))
        entry = tarfile.TarInfo("odd.png")
        entry.size = size
        tar.addfile(entry)
    samples = listed(tmp_path / "a.tar")
    assert [sample.key for sample in samples] == ["a.tar/ok.png", "a.tar"]
    with pytest.raises(ImageError, match="damaged header: a member of"):
        read(samples[1])


def test_a_zip_whose_header_states_an_impossible_size_fails_at_that_member(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("ok.png", b"x")
        archive.writestr("odd.png", b"x")
        archive.infolist()[1].file_size = 2**64 - 1
    ok, odd = listed(tmp_path / "a.zip")
    assert (read(ok), odd.size_bytes) == (b"x", 2**63 - 1)
    with pytest.raises(ImageError, match="larger than .* is not read"):
        read(odd)
