"""A file appears whole or not at all."""

import os
import threading
from pathlib import Path

import pytest

from segcli.errors import OutputError
from segcli.files import replacing, reporting, write_bytes, write_text


def test_folders_are_made_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_text(tmp_path / "a/b/ü.txt", "é")
    assert (tmp_path / "a/b/ü.txt").read_bytes() == "é".encode()
    assert os.listdir(tmp_path / "a/b") == ["ü.txt"]


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError), replacing(path) as unfinished:
        unfinished.write_text("half\udc80", encoding="utf-8")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_symbolic_link_stays(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real/a.txt")
    write_bytes(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real/a.txt").read_bytes() == b"new"


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    heard: list[bytes] = []
    reader = threading.Thread(target=lambda: heard.append(pipe.read_bytes()))
    reader.start()
    write_bytes(pipe, b"new")
    reader.join(10)
    assert heard == [b"new"]


def test_the_longest_name_of_a_file_system(tmp_path: Path) -> None:
    write_bytes(tmp_path / ("a" * 255), b"")
    assert os.listdir(tmp_path) == ["a" * 255]


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file/inside.txt"
    with pytest.raises(OutputError, match=f"cannot write {path}: "):
        write_bytes(path, b"")
    with pytest.raises(OutputError, match=f"cannot write {tmp_path}: "):
        write_bytes(tmp_path, b"")
    with pytest.raises(OutputError, match="cannot write it: No space left"), reporting("it"):
        raise OSError(28, "No space left on device")
