import numpy as np
import pytest

from segcli.errors import UsageError
from segcli.masks import rle

SQUARE = [1, 1, 3, 1, 3, 3, 1, 3]


def test_polygon():
    mask = rle.decode(rle.from_polygons([SQUARE], 4, 5), 4, 5)
    assert mask.astype(int).tolist() == [
        [0, 0, 0, 0, 0],
        [0, 1, 1, 0, 0],
        [0, 1, 1, 0, 0],
        [0, 0, 0, 0, 0],
    ]


def test_parts_are_united():
    other = [4, 0, 5, 0, 5, 1, 4, 1]
    assert rle.area(rle.from_polygons([SQUARE, other], 4, 5), 4, 5) == 5


def test_no_polygon_is_an_empty_mask():
    assert rle.area(rle.from_polygons([], 4, 5), 4, 5) == 0


@pytest.mark.parametrize(
    ("polygon", "says"),
    [
        ([1, 1, 2, 2], "at least three"),
        ([1, 1, 2, 2, 3], "at least three"),
        ([0, 0, 1e9, 0, 1e9, 1e9], "another image"),
        ([0, 0, float("nan"), 0, 1, 1], "another image"),
        (["a", "b"], "list of numbers"),
        (None, "at least three"),
    ],
)
def test_bad_polygon(polygon, says):
    with pytest.raises(UsageError, match=says):
        rle.from_polygons([polygon], 4, 5)


def test_the_three_forms_of_coco_agree():
    text = rle.from_polygons([SQUARE], 4, 5)
    runs = rle.expand(text, 4, 5).tolist()
    assert rle.from_coco([SQUARE], 4, 5) == text
    assert rle.from_coco({"size": [4, 5], "counts": runs}, 4, 5) == text
    assert rle.from_coco({"size": [4, 5], "counts": text.decode()}, 4, 5) == text
    assert rle.from_coco({"size": [4, 5], "counts": text}, 4, 5) == text


@pytest.mark.parametrize(
    ("segmentation", "says"),
    [
        ({"size": [5, 4], "counts": [20]}, "size"),
        ({"counts": [20]}, "size"),
        ({"size": [4, 5], "counts": [21]}, "below 0|sum"),
        ({"size": [4, 5], "counts": [10, -1, 11]}, "below 0"),
        ({"size": [4, 5], "counts": None}, "whole numbers"),
        ({"size": [4, 5], "counts": "\u20ac"}, "sum to|counts"),
    ],
)
def test_bad_rle(segmentation, says):
    with pytest.raises(UsageError, match=says):
        rle.from_coco(segmentation, 4, 5)


def test_plain_runs():
    assert rle.from_runs(np.array([1, 4, 1]), 3, 2) == b"141"
