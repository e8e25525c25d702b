"""Masks of tiles become those of the image, exactly."""

from dataclasses import replace

import numpy as np
import pytest

from segcli.masks import rle
from segcli.masks.joining import Piece, join
from segcli.types import Segment, Tile

SIZE = (40, 60)
LEFT, RIGHT = Tile(0, 0, 40, 36), Tile(0, 24, 40, 36)


def piece(tile: Tile, mask: np.ndarray, score: float = 0.5, label: int = 0) -> Piece:
    """What a model that errs in nothing finds of an object on a tile."""
    part = mask[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]
    text = rle.encode(part)
    box = rle.to_box(text, *part.shape)
    return Piece(Segment(label, score, box, int(part.sum()), text), tile)


def whole(mask: np.ndarray, score: float = 0.5) -> list[Segment]:
    """The same of the whole image."""
    return [piece(Tile(0, 0, *SIZE), mask, score).segment]


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
    (one,) = join([piece(LEFT, mask, 0.6), piece(RIGHT, mask, 0.8)], [], SIZE)
    assert_is(one, mask)
    assert one.score == 0.8


def test_an_object_in_the_overlap_is_found_once() -> None:
    mask = area_of(slice(5, 20), slice(25, 34))
    (one,) = join([piece(LEFT, mask), piece(RIGHT, mask)], [], SIZE)
    assert_is(one, mask)


def test_neighbours_and_other_categories_stay_apart() -> None:
    upper, lower = area_of(slice(0, 10), slice(5, 50)), area_of(slice(12, 30), slice(5, 50))
    pieces = [piece(tile, mask) for mask in (upper, lower) for tile in (LEFT, RIGHT)]
    pieces.append(piece(LEFT, upper, 0.9, label=1))
    found = join(pieces, [], SIZE)
    assert [segment.label for segment in found] == [1, 0, 0]
    assert_is(found[1], upper)
    assert_is(found[2], lower)


def test_two_objects_of_one_tile_are_never_joined() -> None:
    mask = area_of(slice(5, 20), slice(2, 20))
    assert len(join([piece(LEFT, mask), piece(LEFT, mask)], [], SIZE)) == 2


def test_a_tile_that_shows_the_whole_object_draws_its_mask() -> None:
    mask, larger = area_of(slice(5, 20), slice(20, 33)), area_of(slice(3, 23), slice(24, 36))
    (one,) = join([piece(LEFT, mask, 0.4), piece(RIGHT, larger, 0.7)], [], SIZE)
    assert_is(one, mask)
    assert one.score == 0.7


@pytest.mark.parametrize("gap", [0, 1, 3])
@pytest.mark.parametrize("seen_whole", [True, False])
@pytest.mark.parametrize("upright", [False, True])
def test_masks_that_end_just_before_a_seam_are_cut(gap, seen_whole, upright) -> None:
    """None of the tiles shows the whole object, though no mask touches the side of its tile."""
    size = (1440, 800) if upright else (800, 1440)
    first, second = Tile(0, 0, 800, 800), Tile(640 * upright, 640 * (not upright), 800, 800)
    mask, upper, lower = (np.zeros((800, 1440), bool) for _ in range(3))
    mask[200:600, 300:1200] = True
    upper[200:600, 300 : 800 - gap] = True
    lower[200:600, 640 + gap : 1200] = True
    if upright:
        mask, upper, lower = mask.T, upper.T, lower.T
    entire = [piece(Tile(0, 0, *size), mask).segment] if seen_whole else []
    (one,) = join([piece(first, upper), piece(second, lower, 0.7)], entire, size)
    assert one.rle == rle.encode(mask)
    assert (one.area, one.score) == (360_000, 0.7)


def test_an_object_that_the_neighbour_shows_whole_is_not_cut() -> None:
    """The left tile's mask ends 2 px before the seam, and the right one's goes on to its end."""
    size, left, right = (800, 1440), Tile(0, 0, 800, 800), Tile(0, 640, 800, 800)
    part, mask = np.zeros(size, bool), np.zeros(size, bool)
    part[195:305, 660:798] = True
    mask[200:300, 660:820] = True
    (one,) = join([piece(left, part, 0.9), piece(right, mask, 0.4)], [], size)
    assert one.rle == rle.encode(mask)
    assert one.score == 0.9


def test_two_objects_of_a_tile_are_not_joined_by_one_of_another() -> None:
    """The right tile takes both for one; it is joined to the one that it agrees with better."""
    one, other = area_of(slice(5, 15), slice(5, 36)), area_of(slice(15, 20), slice(5, 36))
    blob = area_of(slice(5, 20), slice(24, 50))
    found = join([piece(LEFT, one), piece(LEFT, other), piece(RIGHT, blob)], [], SIZE)
    assert sorted(segment.rle for segment in found) == sorted(map(rle.encode, (one | blob, other)))


def test_a_fragment_at_a_seam_is_part_of_the_object() -> None:
    """The right tile shows so little of it that the model has drawn less than half."""
    mask = area_of(slice(5, 25), slice(5, 34))
    sliver = area_of(slice(5, 12), slice(24, 33))
    (one,) = join([piece(LEFT, mask), piece(RIGHT, sliver)], [], SIZE)
    assert_is(one, mask)


def test_tiles_replace_the_coarser_mask_of_the_whole_image() -> None:
    mask = area_of(slice(5, 20), slice(10, 55))
    coarse = area_of(slice(4, 22), slice(8, 57))
    (one,) = join([piece(LEFT, mask), piece(RIGHT, mask)], whole(coarse, 0.9), SIZE)
    assert_is(one, mask)
    assert one.score == 0.9


def test_fragments_add_to_a_large_object() -> None:
    """Only one of the tiles has seen it: the whole image knows the rest."""
    coarse, mask = area_of(slice(4, 36), slice(4, 56)), area_of(slice(3, 37), slice(3, 57))
    (one,) = join([piece(LEFT, mask)], whole(coarse), SIZE)
    expected = coarse.copy()
    expected[:, :36] |= mask[:, :36]
    assert_is(one, expected)


def test_a_small_object_before_a_large_one_stays() -> None:
    large, small = area_of(slice(2, 38), slice(2, 58)), area_of(slice(10, 16), slice(10, 16))
    found = join([piece(LEFT, small)], whole(large), SIZE)
    assert len(found) == 2


def test_two_objects_that_look_like_one_from_afar_stay_two() -> None:
    """A seam cuts both, and the tiles disagree about where they meet."""
    one, other = area_of(slice(5, 20), slice(2, 36)), area_of(slice(21, 36), slice(24, 58))
    blob = area_of(slice(5, 36), slice(2, 58)) & (one | other)
    found = join([piece(LEFT, one), piece(RIGHT, other)], whole(blob), SIZE)
    assert sorted(segment.rle for segment in found) == sorted(map(rle.encode, (one, other)))


def test_what_only_the_whole_image_shows_is_kept() -> None:
    mask, other = area_of(slice(5, 20), slice(10, 30)), area_of(slice(25, 30), slice(2, 9))
    found = join([piece(LEFT, other)], whole(mask, 0.9), SIZE)
    assert len(found) == 2
    assert_is(found[0], mask)


def test_nothing_is_nothing() -> None:
    assert join([], [], SIZE) == []


def test_keypoints_and_mask_scores_of_joined_pieces() -> None:
    mask = area_of(slice(10, 30), slice(20, 50))  # cut in both tiles
    left = replace(
        piece(LEFT, mask).segment, mask_score=0.2, keypoints=((22.0, 12.0, 0.9), (30.0, 20.0, 0.1))
    )
    right = replace(
        piece(RIGHT, mask).segment, mask_score=0.3, keypoints=((0.0, 12.0, 0.4), (20.0, 25.0, 0.8))
    )
    (found,) = join([Piece(left, LEFT), Piece(right, RIGHT)], [], SIZE)
    assert found.keypoints == ((22.0, 12.0, 0.9), (44.0, 25.0, 0.8))
    assert found.mask_score == 0.3
    (entire,) = join([Piece(replace(right, keypoints=((1.0, 2.0, 0.5),)), RIGHT)], [], SIZE)
    assert entire.keypoints == ((25.0, 2.0, 0.5),)
