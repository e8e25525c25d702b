"""Masks of tiles become those of the image, exactly."""

import numpy as np
import pytest

from segcli.masks import rle
from segcli.masks.joining import Piece, join
from segcli.types import Segment, Tile

SIZE = (40, 60)
LEFT, RIGHT, ALL = Tile(0, 0, 40, 36), Tile(0, 24, 40, 36), Tile(0, 0, 40, 60)


def piece(tile: Tile, mask: np.ndarray, score: float = 0.5, label: int = 0) -> Piece:
    """What a model that errs in nothing finds of an object on a tile."""
    part = mask[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]
    text = rle.encode(part)
    box = rle.to_box(text, *part.shape)
    return Piece(Segment(label, score, box, int(part.sum()), text), tile, tile == ALL)


def area_of(y: slice, x: slice) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[y, x] = True
    return mask


def assert_is(segment: Segment, mask: np.ndarray) -> None:
    assert segment.rle == rle.encode(mask), "byte for byte"
    assert segment.area == mask.sum()
    assert segment.box == rle.to_box(segment.rle, *SIZE)


@pytest.mark.parametrize("seed", range(6))
def test_a_mask_is_placed_exactly(seed) -> None:
    rng = np.random.default_rng(seed)
    size = tuple(rng.integers(1, 9, 2))
    frame = tuple(side + rng.integers(0, 4) for side in size)
    tile = Tile(*(int(rng.integers(0, f - s + 1)) for f, s in zip(frame, size, strict=True)), *size)
    mask = rng.random(size) < (0.0, 0.5, 1.0)[seed % 3]
    expected = np.zeros(frame, bool)
    expected[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width] = mask
    placed = rle.place(rle.encode(mask), tile, frame)
    assert placed == rle.encode(expected)
    window = Tile(0, 0, max(1, size[0] - 1), size[1])
    found = rle.decode_window(rle.encode(mask), size, window)
    assert np.array_equal(found, mask[: window.height, : window.width])
    assert np.array_equal(rle.decode_window(placed, frame, tile), mask)


def test_an_object_across_a_seam_is_one() -> None:
    mask = area_of(slice(5, 20), slice(10, 55))
    mask[8:12, 20:40] = False
    (one,) = join([piece(LEFT, mask, 0.6), piece(RIGHT, mask, 0.8)], SIZE)
    assert_is(one, mask)
    assert one.score == 0.8


def test_an_object_in_the_overlap_is_found_once() -> None:
    mask = area_of(slice(5, 20), slice(25, 34))
    (one,) = join([piece(LEFT, mask), piece(RIGHT, mask)], SIZE)
    assert_is(one, mask)


def test_neighbours_and_other_categories_stay_apart() -> None:
    upper, lower = area_of(slice(0, 10), slice(5, 50)), area_of(slice(12, 30), slice(5, 50))
    pieces = [piece(tile, mask) for mask in (upper, lower) for tile in (LEFT, RIGHT)]
    pieces.append(piece(LEFT, upper, 0.9, label=1))
    found = join(pieces, SIZE)
    assert [segment.label for segment in found] == [1, 0, 0]
    assert_is(found[1], upper)
    assert_is(found[2], lower)


def test_two_objects_of_one_tile_are_never_joined() -> None:
    mask = area_of(slice(5, 20), slice(2, 20))
    assert len(join([piece(LEFT, mask), piece(LEFT, mask)], SIZE)) == 2


def test_a_fragment_at_a_seam_is_part_of_the_object() -> None:
    """The right tile shows so little of it that the model has drawn less than half."""
    mask = area_of(slice(5, 25), slice(5, 34))
    sliver = area_of(slice(5, 12), slice(24, 34))
    (one,) = join([piece(LEFT, mask), piece(RIGHT, sliver)], SIZE)
    assert_is(one, mask)


def test_tiles_replace_the_coarser_mask_of_the_whole_image() -> None:
    mask = area_of(slice(5, 20), slice(10, 55))
    coarse = area_of(slice(4, 22), slice(8, 57))
    (one,) = join([piece(ALL, coarse, 0.9), piece(LEFT, mask), piece(RIGHT, mask)], SIZE)
    assert_is(one, mask)
    assert one.score == 0.9


def test_fragments_add_to_a_large_object() -> None:
    """Only one of the tiles has seen it: the whole image knows the rest."""
    coarse, mask = area_of(slice(4, 36), slice(4, 56)), area_of(slice(3, 37), slice(3, 57))
    (one,) = join([piece(ALL, coarse), piece(LEFT, mask)], SIZE)
    expected = coarse.copy()
    expected[:, :36] |= mask[:, :36]
    assert_is(one, expected)


def test_a_small_object_before_a_large_one_stays() -> None:
    large, small = area_of(slice(2, 38), slice(2, 58)), area_of(slice(10, 16), slice(10, 16))
    found = join([piece(ALL, large), piece(LEFT, small)], SIZE)
    assert len(found) == 2


def test_nothing_is_nothing() -> None:
    assert join([], SIZE) == []
