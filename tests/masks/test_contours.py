"""Outlines along the edges of pixels."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from segcli.masks import rle
from segcli.masks.contours import Part, parts, signed_area


def outline(rows: list[str]) -> list[Part]:
    mask = np.array([[c == "#" for c in row] for row in rows])
    return parts(rle.encode(mask), *mask.shape)


def filled(rings: list[list[tuple[int, int]]], height: int, width: int) -> np.ndarray:
    """Even-odd at pixel centres, by counting the vertical sides to the left of each."""
    inside = np.zeros((height, width), bool)
    for ring in rings:
        for (ax, ay), (bx, by) in zip(ring, ring[1:] + ring[:1], strict=True):
            if ax == bx:
                inside[min(ay, by) : max(ay, by), ax:] ^= True
    return inside


def test_a_square() -> None:
    (part,) = outline(["....", ".##.", ".##."])
    assert set(part.outer) == {(1, 1), (3, 1), (3, 3), (1, 3)}
    assert abs(signed_area(part.outer)) == 4
    assert part.holes == ()


def test_a_ring_has_a_hole() -> None:
    (part,) = outline(["###", "#.#", "###"])
    assert abs(signed_area(part.outer)) == 9
    assert [abs(signed_area(hole)) for hole in part.holes] == [1]


def test_pixels_that_touch_at_a_corner_are_two_parts() -> None:
    assert len(outline(["#.", ".#"])) == 2
    assert len(outline([".#", "#."])) == 2


def test_an_island_in_a_hole_and_the_hole_in_it() -> None:
    found = outline(["#######", "#.....#", "#.###.#", "#.#.#.#", "#.###.#", "#.....#", "#######"])
    assert sorted(abs(signed_area(part.outer)) for part in found) == [9, 49]
    assert sorted(abs(signed_area(part.holes[0])) for part in found) == [1, 25]


def test_an_empty_mask_has_no_part() -> None:
    assert outline(["..", ".."]) == []


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.randoms(use_true_random=False))
def test_any_mask_comes_back_from_its_outlines(height: int, width: int, random: object) -> None:
    mask = np.array([[random.random() < 0.6 for _ in range(width)] for _ in range(height)])
    found = parts(rle.encode(mask), height, width)
    rings = [ring for part in found for ring in (part.outer, *part.holes)]
    assert np.array_equal(filled(rings, height, width), mask)
    for part in found:  # each part alone as well: its holes are its own
        alone = filled([part.outer, *part.holes], height, width)
        assert not (alone & ~mask).any()
        assert sum(abs(signed_area(h)) for h in part.holes) < abs(signed_area(part.outer))
