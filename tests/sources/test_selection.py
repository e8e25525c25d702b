"""Patterns and ages of files; a file that grows between listing and reading."""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from segcli.errors import ImageError, UsageError
from segcli.sources import Wanted, open_source, parse_age, read

KEYS = ("a.jpg", "cam1/b.jpg", "cam1/previews/c.jpg", "cam2/d.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for key in KEYS:
        path = tmp_path / "images" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path / "images"


def keys(folder: Path, wanted: Wanted) -> list[str]:
    return [sample.key for sample in open_source(str(folder), wanted=wanted)]


def test_patterns_match_the_whole_key_and_stars_match_slashes(folder: Path) -> None:
    assert keys(folder, Wanted()) == list(KEYS)
    assert keys(folder, Wanted(include=("cam*",))) == list(KEYS[1:])
    assert keys(folder, Wanted(include=("*.jpg",), exclude=("*/previews/*",))) == list(KEYS[:2])
    assert keys(folder, Wanted(include=("a.jpg", "cam2/*"))) == ["a.jpg", "cam2/d.png"]


def test_ages_are_those_of_the_files(folder: Path) -> None:
    old = time.time() - 7200
    os.utime(folder / "a.jpg", (old, old))
    assert keys(folder, Wanted(older_than=3600)) == ["a.jpg"]
    assert keys(folder, Wanted(newer_than=3600)) == list(KEYS[1:])


def test_a_file_whose_clock_was_wrong_does_not_wait_for_years(folder: Path) -> None:
    for name, hours in (("a.jpg", 5000), ("cam1/b.jpg", 3)):
        at = time.time() + 3600 * hours
        os.utime(folder / name, (at, at))
    assert keys(folder, Wanted(older_than=300)) == ["a.jpg"]
    assert keys(folder, Wanted(newer_than=300)) == list(KEYS)


def test_nothing_left_is_an_error_that_names_the_options(folder: Path) -> None:
    with pytest.raises(UsageError, match="`include`"):
        open_source(str(folder), wanted=Wanted(include=("*.gif",)))


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("5m", 300), ("2h", 7200), ("1.5d", 129600), ("1w", 604800)]
)
def test_ages(text: str, seconds: float) -> None:
    assert parse_age(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "h", "-2h", "2 hours", "nan"])
def test_other_ages_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="e.g. 2h"):
        parse_age(text)


def test_a_file_that_grows_after_listing_is_not_read(folder: Path) -> None:
    (sample,) = open_source(str(folder / "a.jpg"))
    (folder / "a.jpg").write_bytes(b"longer")
    with pytest.raises(ImageError, match="still being written: 1 bytes"):
        read(sample)
    assert read(replace(sample, size_bytes=6)) == b"longer"
