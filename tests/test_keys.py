"""Names and keys map exactly onto one another."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segcli.keys import (
    first_spelling,
    key_from_path,
    normalized,
    path_from_key,
    prefixed,
    split_frame,
)

# Names made of what is escaped, so that the cases meet.
awkward = st.lists(
    st.sampled_from([b"\\", b"#", b"#frame=", b"7", b"x", b"e9", b"a", b"\xe9", b"/", b"\n"]),
    max_size=8,
).map(b"".join)
names = st.one_of(st.binary(max_size=40), awkward)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        (b"cam1/0001.jpg", "cam1/0001.jpg"),
        (b"a b\nc.jpg", "a b\nc.jpg"),
        (b"IMG (1) copy #2.png", "IMG (1) copy #2.png"),
        (b"a\\b.jpg", "a\\b.jpg"),
        (b"v#frame=3/a.jpg", "v#frame=3/a.jpg"),
        ("café.jpg".encode(), "café.jpg"),
        (b"caf\xe9.jpg", "caf\\xe9.jpg"),
        (b"\\xe9.jpg", "\\\\xe9.jpg"),
        (b"\\x41.jpg", "\\x41.jpg"),
        (b"take#frame=3", "take\\#frame=3"),
        (b"a\\#1.jpg", "a\\\\#1.jpg"),
        (b"a\\", "a\\\\"),
    ],
)
def test_key_of_a_name(name: bytes, key: str) -> None:
    assert key_from_path(name) == key
    assert os.fsencode(path_from_key(key)) == name


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("IMG (1) copy \\#2.png", "IMG (1) copy #2.png"),
        ("a\\\\b\\#1.mp4#frame=125", "a\\b#1.mp4#frame=125"),
        ("take\\#frame=3#frame=4", "take\\#frame=3#frame=4"),
        ("caf\\xe9.jpg", "caf\\xe9.jpg"),
    ],
)
def test_a_key_of_the_first_versions_has_the_same_path(old: str, new: str) -> None:
    assert normalized(old) == new
    assert normalized(new) == new
    assert path_from_key(old) == path_from_key(new)


@given(names)
def test_inverse_for_any_bytes(name: bytes) -> None:
    key = key_from_path(name)
    key.encode("utf-8")  # storable as text
    assert os.fsencode(path_from_key(key)) == name
    old = first_spelling(os.fsdecode(name))
    assert os.fsencode(path_from_key(old)) == name
    assert normalized(key) == normalized(old) == key


@given(names, st.integers(0, 10**17))
def test_a_frame_of_any_name(name: bytes, frame: int) -> None:
    key = key_from_path(name)
    assert split_frame(key) == (key, None)
    assert split_frame(f"{key}#frame={frame}") == (key, frame)
    assert os.fsencode(path_from_key(f"{key}#frame={frame}")) == name


@given(st.lists(names, unique=True))
def test_keys_of_different_names_differ(given: list[bytes]) -> None:
    assert len({key_from_path(name) for name in given}) == len(given)


def test_text_and_bytes_have_one_key() -> None:
    assert key_from_path("x\udce9") == key_from_path(b"x\xe9")


def test_prefix_is_a_folder() -> None:
    assert prefixed("0001.jpg", "cam2") == prefixed("0001.jpg", "cam2/") == "cam2/0001.jpg"
    assert prefixed("0001.jpg", "") == "0001.jpg"
    assert prefixed("a.jpg", "cam #2\\") == "cam #2\\/a.jpg"
