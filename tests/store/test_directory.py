import os
from pathlib import Path

import pytest

from segcli.errors import UsageError
from segcli.store.directory import check_place, list_parts, refuse_among_parts

PART = f"part-{'0' * 32}.parquet"


def test_parts_are_listed_in_a_stable_order(tmp_path):
    for name in (f"part-{'f' * 32}.parquet", PART, ".nfs0001"):
        (tmp_path / name).touch()
    assert list_parts(tmp_path) == [PART, f"part-{'f' * 32}.parquet"]


def test_what_does_not_exist_has_no_parts(tmp_path):
    assert list_parts(tmp_path / "no") == []


@pytest.mark.parametrize("name", ["notes.txt", ".DS_Store", "part-1.parquet", PART + ".tmp"])
def test_a_foreign_file_is_named(tmp_path, name):
    (tmp_path / PART).touch()
    (tmp_path / name).touch()
    with pytest.raises(UsageError, match=f"contains '{name}'.*move it away"):
        list_parts(tmp_path)


def test_a_folder_without_any_part_is_no_output(tmp_path):
    (tmp_path / "a.jpg").touch()
    with pytest.raises(UsageError, match=r"contains 'a\.jpg' and no part.*name the output"):
        list_parts(tmp_path)


def test_nothing_is_put_among_the_parts(tmp_path):
    output = tmp_path / "masks.parquet"
    output.mkdir()
    (output / PART).touch()
    for path in (output, output / "report.html", output / "a/b/c.json"):
        with pytest.raises(UsageError, match=r"--json .* is inside .*masks\.parquet"):
            refuse_among_parts(path, "--json")
    with pytest.raises(UsageError, match="is inside"):
        check_place(output / "more.parquet")
    check_place(output)
    refuse_among_parts(tmp_path / "report.html", "--out")
    refuse_among_parts(Path("/no/such/place"), "--out")


def test_a_file_is_no_output(tmp_path):
    file = tmp_path / "masks.parquet"
    file.touch()
    with pytest.raises(UsageError, match="is a file"):
        check_place(file)
    with pytest.raises(UsageError, match="no parent directory"):
        check_place(Path("/"))


def test_a_mount_point_is_refused_with_advice(tmp_path, monkeypatch):
    (tmp_path / "mnt").mkdir()
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path).name == "mnt")
    check_place(tmp_path / "new")
    with pytest.raises(UsageError, match=r"mount point.*inside it: .*mnt/masks\.parquet"):
        check_place(tmp_path / "mnt")


def test_a_bind_mount_of_the_same_file_system_is_found(tmp_path, monkeypatch):
    place = tmp_path / "a b"
    place.mkdir()
    table = b"1 2 8:1 /x %s rw - ext4 dev rw\n" % os.fsencode(place).replace(b" ", rb"\040")
    monkeypatch.setattr(Path, "read_bytes", lambda self: table)
    with pytest.raises(UsageError, match="mount point"):
        check_place(place)
