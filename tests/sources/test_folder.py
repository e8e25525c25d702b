"""Folders: what is listed, in which order, and what is never passed over in silence."""

import os
import subprocess
import tracemalloc
from pathlib import Path

import pytest

from segcli import images
from segcli.errors import ImageError
from segcli.sources import SUFFIXES, open_source, read
from segcli.sources.folder import list_folder


def make(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def keys(folder: Path) -> list[str]:
    return [sample.key for sample in list_folder(str(folder))]


def test_suffixes_are_those_that_decoder_knows() -> None:
    known = {suffix for fmt in images.formats() for suffix in fmt.suffixes}
    assert known == SUFFIXES


def test_recursive_and_in_the_order_of_the_paths(tmp_path: Path) -> None:
    make(tmp_path, "b.jpg", "a/z.JPG", "a/b/c.png", "a.jpg", "Z.webp", "notes.txt", "c")
    found = keys(tmp_path)
    assert found == ["Z.webp", "a.jpg", "a/b/c.png", "a/z.JPG", "b.jpg"]
    assert found == sorted(found)


def test_hidden_files_and_folders_are_skipped(tmp_path: Path) -> None:
    make(tmp_path, ".a.jpg", ".thumbs/b.jpg", "c.jpg", "._c.jpg")
    assert keys(tmp_path) == ["c.jpg"]


def test_symlink_loops_end_and_links_are_followed(tmp_path: Path) -> None:
    make(tmp_path / "root", "a/1.jpg")
    make(tmp_path / "other", "2.jpg")
    (tmp_path / "root/a/up").symlink_to(tmp_path / "root")
    (tmp_path / "root/a/self").symlink_to(".")
    (tmp_path / "root/linked").symlink_to(tmp_path / "other")
    assert keys(tmp_path / "root") == ["a/1.jpg", "linked/2.jpg"]


def test_names_of_any_bytes_stay_distinct(tmp_path: Path) -> None:
    names = [b"a b.jpg", b"new\nline.jpg", b"\xff\xfe.jpg", b"\\xff.jpg", b"n" * 250 + b".jpg"]
    for folder in (b"x", b"y"):
        os.mkdir(os.path.join(os.fsencode(tmp_path), folder))
        for name in names:
            Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), folder, name))).write_bytes(name)
    samples = list(list_folder(str(tmp_path)))
    assert len({sample.key for sample in samples}) == 10
    assert sorted(read(sample) for sample in samples) == sorted(names * 2)


def test_size_and_time_are_known(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg")
    os.utime(tmp_path / "a.jpg", ns=(5, 1_600_000_000_123_456_789))
    (sample,) = list_folder(str(tmp_path))
    assert (sample.size_bytes, sample.mtime_ns) == (1, 1_600_000_000_123_456_789)


def test_a_time_after_the_year_2262_is_unknown(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg")
    os.utime(tmp_path / "a.jpg", (10**10, 10**10))  # more ns than a column has room for
    (sample,) = list_folder(str(tmp_path))
    assert (sample.size_bytes, sample.mtime_ns) == (1, None)


def test_directory_with_an_image_name_is_a_failure_and_walked(tmp_path: Path) -> None:
    make(tmp_path, "x.jpg/y.jpg")
    first, second = list_folder(str(tmp_path))
    assert (first.key, second.key) == ("x.jpg", "x.jpg/y.jpg")
    with pytest.raises(ImageError, match="a directory, not an image"):
        read(first)


def test_directory_that_cannot_be_listed_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a.jpg", "private/b.jpg")
    scandir = os.scandir

    def refuse(path: str | bytes):
        if b"private" in os.fsencode(path):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    _, private = list_folder(str(tmp_path))
    assert private.key == "private/"
    with pytest.raises(ImageError, match=r"cannot be listed \(Permission denied\)"):
        read(private)


def test_broken_link_pipe_and_vanished_file_are_failures(tmp_path: Path) -> None:
    make(tmp_path, "c.jpg")
    (tmp_path / "a.jpg").symlink_to("nowhere")
    os.mkfifo(tmp_path / "b.jpg")
    link, pipe, gone = list_folder(str(tmp_path))
    (tmp_path / "c.jpg").unlink()
    for sample, reason in (
        (link, "broken symbolic link"),
        (pipe, "not a regular"),
        (gone, "vanished"),
    ):
        with pytest.raises(ImageError, match=reason):
            read(sample)


def test_very_deep_tree(tmp_path: Path) -> None:
    deep = "d/" * 1500
    here = os.getcwd()
    os.chdir(tmp_path)
    try:
        for _ in range(1500):
            os.mkdir("d")
            os.chdir("d")
        Path("a.jpg").write_bytes(b"x")
    finally:
        os.chdir(here)
    found = keys(tmp_path)
    # Python's own remover recurses: it would fail on this one when pytest clears old folders.
    subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)
    assert found == [deep + "a.jpg"]


def test_listing_is_lazy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a/1.jpg", "b/2.jpg")
    visited = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: (visited.append(path), scandir(path))[1])
    assert next(list_folder(str(tmp_path))).key == "a/1.jpg"
    assert not any(os.fsencode(path).endswith(b"b/") for path in visited)


@pytest.mark.slow
def test_memory_is_below_200_bytes_a_name(tmp_path: Path) -> None:
    count = 5000
    for number in range(count):
        (tmp_path / f"a-rather-ordinary-name-{number:09d}.jpg").touch()
    tracemalloc.start()
    try:
        for _ in open_source(str(tmp_path)):
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 200 * count


def test_a_source_can_be_listed_again(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "b.jpg")
    source = open_source(str(tmp_path), key_prefix="cam2")
    assert [s.key for s in source] == [s.key for s in source] == ["cam2/a.jpg", "cam2/b.jpg"]
    assert source.root == os.path.realpath(tmp_path)


def test_images_without_a_suffix_are_counted(tmp_path: Path) -> None:
    make(tmp_path, "a/LICENSE", "LICENSE", "one.jpg", ".hidden")
    for name in ("a/0001", "a/0002"):
        (tmp_path / name).write_bytes(b"\xff\xd8\xff\xe0")
    os.mkfifo(tmp_path / "FIFO")
    source = open_source(str(tmp_path))
    assert [sample.key for sample in source] == ["one.jpg"]
    assert source.unnamed == {"a/0001": 3}, "a folder with a licence alone has no such images"


def test_folders_of_nas_and_archive_tools_are_left_out_and_said(tmp_path: Path) -> None:
    make(tmp_path, "a/1.jpg", "a/@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg", "__MACOSX/a/._1.jpg")
    make(tmp_path, "Thumbs/1.jpg", "__MACOSX/2.jpg", ".thumbnails/1.jpg", "thumbs.jpg")
    source = open_source(str(tmp_path))
    assert [sample.key for sample in source] == ["a/1.jpg", "thumbs.jpg"]
    assert source.left_out == {"Thumbs/", "__MACOSX/", "a/@eaDir/"}
    everything = open_source(str(tmp_path), all_folders=True)
    assert len(list(everything)) == 6, "the folder 1.jpg is a failure of its own"
    assert everything.left_out == set()
