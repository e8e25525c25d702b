import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from segcli.errors import UsageError
from segcli.masks import rle


def test_known_text():
    # 3 x 2 px, column by column: 1 outside, 4 inside, 1 outside.
    assert rle.compress(np.array([1, 4, 1])) == b"141"


def test_fourth_run_is_a_difference():
    # 5 - 4 = 1, 1 - 20 = -19: two groups.
    assert rle.compress(np.array([1, 4, 20, 5, 1])) == b"14d01]O"
    assert rle.expand(b"14d01]O", 31, 1).tolist() == [1, 4, 20, 5, 1]


@given(st.lists(st.integers(1, 2**20), min_size=1, max_size=40), st.booleans())
def test_like_pycocotools(runs, starts_inside):
    counts = [0, *runs] if starts_inside else runs
    theirs = coco.frPyObjects({"size": [sum(counts), 1], "counts": counts}, sum(counts), 1)
    assert rle.compress(np.array(counts)) == theirs["counts"]
    assert rle.expand(theirs["counts"], sum(counts), 1).tolist() == counts


def test_long_runs():
    runs = np.array([2**31, 5, 3, 2**30, 2**29])
    text = rle.compress(runs)
    assert rle.expand(text, int(runs.sum()), 1).tolist() == runs.tolist()


@given(st.lists(st.lists(st.integers(0, 5000), min_size=1, max_size=9), min_size=1, max_size=6))
def test_many_at_once_are_the_single_ones(masks):
    flat = np.array([run for mask in masks for run in mask])
    texts = rle.compress_many(flat, np.array([len(mask) for mask in masks]))
    assert texts == [rle.compress(np.array(mask)) for mask in masks]


def test_no_mask_at_all():
    assert rle.compress_many(np.zeros(0, np.int64), np.zeros(0, np.int64)) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "no run lengths"),
        (b"14", "sum to 5 px, but its size 3 x 2 has 6"),
        (b"1411", "sum to"),
        (b"14 1", "cannot occur"),
        (b"1\xff1", "cannot occur"),
        (b"14`", "middle of a number"),
        (b"1" + b"o" * 8 + b"0", "too long"),
        (b"1O6", "px long"),
    ],
)
def test_damaged(text, says):
    with pytest.raises(UsageError, match=says):
        rle.check(text, 3, 2)


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (-1, -6), (2**20, 2**20)])
def test_impossible_size(size):
    with pytest.raises(UsageError, match="cannot be"):
        rle.check(b"6", *size)


@given(st.binary(max_size=12), st.integers(1, 6), st.integers(1, 6))
def test_any_bytes_are_refused_or_whole(text, height, width):
    try:
        runs = rle.expand(text, height, width)
    except UsageError:
        return
    assert runs.min() >= 0
    assert runs.sum() == height * width
    assert rle.decode(text, height, width).sum() == runs[1::2].sum()
