"""Text files of paths."""

import os
from pathlib import Path

import pytest

from segcli.errors import ImageError, UsageError
from segcli.sources import open_source, read


def write(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


def test_bom_crlf_blank_lines_and_hash(tmp_path: Path) -> None:
    listing = write(tmp_path / "l.txt", b"\xef\xbb\xbfa.jpg\r\n\r\n#b.jpg\n c.jpg\n\nd.jpg")
    assert [s.key for s in open_source(listing)] == ["a.jpg", "#b.jpg", " c.jpg", "d.jpg"]


def test_relative_paths_start_at_the_list_then_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/a.jpg").write_bytes(b"beside the list")
    (tmp_path / "a.jpg").write_bytes(b"here")
    (tmp_path / "b.jpg").write_bytes(b"here")
    absolute = tmp_path / "a.jpg"
    listing = write(tmp_path / "lists/l.txt", b"a.jpg\nb.jpg\n" + os.fsencode(absolute))
    monkeypatch.chdir(tmp_path)
    samples = list(open_source(listing))
    assert [read(s) for s in samples] == [b"beside the list", b"here", b"here"]
    assert samples[2].key == str(absolute)
    assert (samples[1].size_bytes, os.path.isabs(samples[1].path)) == (4, True)


def test_missing_and_impossible_paths_are_failures(tmp_path: Path) -> None:
    listing = write(tmp_path / "l.txt", b"gone.jpg\na\x00b.jpg\nftp://x/y.jpg\n" + b"n" * 300)
    missing, nul, url, long = open_source(listing)
    for sample, reason in (
        (missing, "no such file"),
        (nul, "NUL byte"),
        (url, "no such file"),
        (long, "name too long"),
    ):
        assert sample.size_bytes is None
        with pytest.raises(ImageError, match=f"(?i){reason}"):
            read(sample)


def test_undecodable_bytes_find_their_file(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xe9.jpg")).write_bytes(b"x")
    (sample,) = open_source(write(tmp_path / "l.txt", b"\xe9.jpg\n"))
    assert (sample.key, read(sample)) == ("\\xe9.jpg", b"x")


def test_a_repeated_path_comes_twice(tmp_path: Path) -> None:
    listing = write(tmp_path / "l.txt", b"a.jpg\na.jpg\n")
    assert [s.key for s in open_source(listing)] == ["a.jpg", "a.jpg"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no path in the list"),
        (b"\r\n\n", "no path in the list"),
        ("a.jpg\n".encode("utf-16"), "UTF-16"),
        (b"\x00\x01\x02", "binary"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        open_source(write(tmp_path / "l.txt", content))
