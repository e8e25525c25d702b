"""What SOURCE may be, and the sentence for everything else."""

import os
from pathlib import Path

import pytest

from segcli.errors import ImageError, UsageError
from segcli.sources import MAX_FILE_BYTES, open_source, read
from segcli.types import Sample


def test_single_image_has_the_key_it_has_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    source = open_source(str(tmp_path / "a.jpg"), key_prefix="p")
    assert [s.key for s in source] == ["p/a.jpg"]
    assert source.root == os.path.realpath(tmp_path)


def test_image_without_a_suffix(tmp_path: Path) -> None:
    (tmp_path / "photo").write_bytes(b"\xff\xd8\xff\xe0")
    assert [s.key for s in open_source(str(tmp_path / "photo"))] == ["photo"]


def test_missing_source_suggests_a_near_name(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(UsageError, match=r"no such file.*expected a folder.*mean '.*/images'"):
        open_source(str(tmp_path / "imagse"))


@pytest.mark.parametrize(
    ("name", "reason"),
    [("empty/", "is empty"), ("none/readme.md", "no image in the folder"), ("d/e/", "no image in")],
)
def test_folder_without_images(tmp_path: Path, name: str, reason: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if name.endswith("/"):
        path.mkdir()
    else:
        path.write_text("x")
    with pytest.raises(UsageError, match=reason):
        open_source(str(tmp_path / name.split("/")[0]))


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("path\na.jpg\n")
    with pytest.raises(UsageError, match="not a supported file; expected a folder"):
        open_source(str(tmp_path / "a.csv"))


def test_column_belongs_to_a_manifest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a Parquet manifest"):
        open_source(str(tmp_path), column="path")


@pytest.mark.parametrize("location", ["", "a\x00b"])
def test_impossible_names(location: str) -> None:
    with pytest.raises(UsageError, match="expected a folder"):
        open_source(location)


def test_unreadable_folder_and_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    (sample,) = open_source(str(tmp_path))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ImageError, match="cannot read the file: Permission denied"):
        read(sample)
    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UsageError, match="cannot be listed: Permission denied"):
        open_source(str(tmp_path))


def test_enormous_file_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "a.tif", "wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(ImageError, match="the limit is 2,"):
        read(Sample("a.tif", str(tmp_path / "a.tif")))


def test_only_the_wanted_keys_are_listed_and_no_others_looked_at(tmp_path, monkeypatch):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "list.txt").write_text("a.jpg\nb.jpg\nc.jpg\n")
    looked_at = []
    stat = os.stat

    def looking(path, *args, **kwargs):
        looked_at.append(os.fsdecode(path))
        return stat(path, *args, **kwargs)

    folder, listed = open_source(str(tmp_path)), open_source(str(tmp_path / "list.txt"))
    monkeypatch.setattr(os, "stat", looking)
    assert [s.key for s in folder.only(lambda key: key == "b.jpg")] == ["b.jpg"]
    assert [path for path in looked_at if path.endswith(".jpg")] == [str(tmp_path / "b.jpg")]
    assert [s.key for s in listed.only(lambda key: key != "b.jpg")] == ["a.jpg", "c.jpg"]
    assert [s.key for s in folder] == ["a.jpg", "b.jpg", "c.jpg"]
