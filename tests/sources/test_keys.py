"""Names and keys map exactly onto one another."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segcli.sources.keys import key_from_path, path_from_key, prefixed


@pytest.mark.parametrize(
    ("name", "key"),
    [
        (b"cam1/0001.jpg", "cam1/0001.jpg"),
        (b"a b\nc.jpg", "a b\nc.jpg"),
        (b"caf\xe9.jpg", "caf\\xe9.jpg"),
        ("café.jpg".encode(), "café.jpg"),
        (b"a\\b.jpg", "a\\\\b.jpg"),
        (b"a#1.jpg", "a\\#1.jpg"),
        (b"\\xe9.jpg", "\\\\xe9.jpg"),
    ],
)
def test_key_of_a_name(name: bytes, key: str) -> None:
    assert key_from_path(name) == key
    assert os.fsencode(path_from_key(key)) == name


@given(st.binary(max_size=40))
def test_inverse_for_any_bytes(name: bytes) -> None:
    key = key_from_path(name)
    key.encode("utf-8")  # storable as text
    assert os.fsencode(path_from_key(key)) == name


@given(st.lists(st.binary(max_size=6), unique=True))
def test_keys_of_different_names_differ(names: list[bytes]) -> None:
    assert len({key_from_path(name) for name in names}) == len(names)


def test_text_and_bytes_have_one_key() -> None:
    assert key_from_path("x\udce9") == key_from_path(b"x\xe9")


def test_the_frame_is_no_part_of_the_path() -> None:
    assert path_from_key("cam1/\\#8.mp4#frame=125") == "cam1/#8.mp4"


@pytest.mark.parametrize("text", ["a\\", "a\\q", "\\xZZ", "\\xE9"])
def test_what_no_name_gives_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="lone backslash"):
        path_from_key(text)


def test_prefix_is_a_folder() -> None:
    assert prefixed("0001.jpg", "cam2") == prefixed("0001.jpg", "cam2/") == "cam2/0001.jpg"
    assert prefixed("0001.jpg", "") == "0001.jpg"
