"""The even-odd rule, against the ray of one pixel after another."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segcli.annotations.yolo import _joined, _rings
from segcli.errors import UsageError
from segcli.masks import rle
from segcli.masks.contours import parts
from segcli.masks.even_odd import fill


def filled(points: list[tuple[float, float]], height: int, width: int) -> list[str]:
    mask = rle.decode(fill(np.array(points, float), height, width), height, width)
    return ["".join("#" if one else "." for one in row) for row in mask]


def test_a_pixel_is_inside_when_its_centre_is() -> None:
    assert filled([(1, 0.6), (3.4, 0.6), (3.4, 2.5), (1, 2.5)], 4, 5) == [
        ".....",
        ".##..",
        ".....",
        ".....",
    ]


def test_what_leaves_the_image_is_cut_off() -> None:
    assert filled([(-3, -2), (2, -2), (2, 9), (-3, 9)], 2, 4) == ["##..", "##.."]
    assert filled([(5, 0), (9, 0), (9, 2)], 2, 4) == ["....", "...."]


def test_a_doubled_line_counts_for_nothing() -> None:
    """Two squares, and the way between them there and back."""
    left = [(0, 0), (2, 0), (2, 2), (0, 2), (0, 0)]
    right = [(4, 1), (6, 1), (6, 3), (4, 3), (4, 1)]
    assert filled([*left, *right, (0, 0)], 4, 7) == ["##.....", "##..##.", "....##.", "......."]


def test_a_ring_with_a_hole() -> None:
    outer = [(0, 0), (5, 0), (5, 4), (0, 4), (0, 0)]
    hole = [(1, 1), (1, 3), (4, 3), (4, 1), (1, 1)]
    assert filled([*outer, *hole, (0, 0)], 4, 5) == ["#####", "#...#", "#...#", "#####"]


@pytest.mark.parametrize("points", [[(0, 0), (1, 1)], [(0, 0), (1, 0), (float("nan"), 1)]])
def test_no_polygon(points: list[tuple[float, float]]) -> None:
    with pytest.raises(UsageError):
        filled(points, 3, 3)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_every_mask_comes_back_from_its_joined_outline(h: int, w: int, data: st.DataObject) -> None:
    """Also when its corners have gone through the nine digits of a label."""
    cells = data.draw(st.lists(st.booleans(), min_size=h * w, max_size=h * w))
    mask = np.array(cells).reshape(h, w)
    if not mask.any():
        return
    ring = _joined(_rings(parts(rle.encode(mask), h, w)))
    sides = [[float(f"{x / w:.9g}") * w, float(f"{y / h:.9g}") * h] for x, y in ring]
    assert np.array_equal(rle.decode(fill(np.array(sides), h, w), h, w), mask)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.floats(-3, 12), st.floats(-3, 12)), min_size=3, max_size=8))
def test_any_polygon_by_single_rays(points: list[tuple[float, float]]) -> None:
    height, width = 7, 9
    mask = rle.decode(fill(np.array(points), height, width), height, width)
    for (row, column), inside in np.ndenumerate(mask):
        x, y = column + 0.5, row + 0.5
        crossings = []
        for (ax, ay), (bx, by) in zip(points, [*points[1:], points[0]], strict=True):
            if (ay <= y) != (by <= y):
                crossings.append(ax + (y - ay) / (by - ay) * (bx - ax))
        if all(abs(at - x) > 1e-6 for at in crossings) and all(
            abs(y - p[1]) > 1e-6 for p in points
        ):
            assert inside == (sum(at < x for at in crossings) % 2 == 1)
