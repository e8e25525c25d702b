"""Tiles cover an image, overlap, and are equally large."""

import dataclasses

import numpy as np
import pytest

from segcli.errors import UsageError
from segcli.images.tiles import Slicing, cut, slicing_of
from segcli.types import Image, ModelInfo, Resize, Tile

TINY = ModelInfo("toy", "tiny", ("red",), (1,), Resize(64, 128), 32)


@pytest.mark.parametrize("size", [(64, 65), (200, 150), (1000, 64), (65, 20), (640, 641)])
def test_tiles_cover_the_image_and_overlap(size) -> None:
    tiles = Slicing(64, 12).tiles(size)
    assert len({(tile.height, tile.width) for tile in tiles}) == 1
    covered = np.zeros(size, int)
    for tile in tiles:
        covered[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width] += 1
    assert covered.min() == 1
    assert covered.shape == size, "no tile leaves the image"
    rows = sorted({tile.y for tile in tiles})
    assert all(low - high <= 64 - 12 for high, low in zip(rows, rows[1:], strict=False))


def test_a_small_image_is_its_own_tile() -> None:
    assert Slicing(64, 12).tiles((40, 64)) == [Tile(0, 0, 40, 64)]
    image = Image("a", np.zeros((40, 64, 3), np.uint8), (40, 64))
    assert not Slicing(64, 12).cuts(image)
    assert Slicing(63, 12).cuts(image)


def test_the_side_is_given_or_the_models() -> None:
    assert slicing_of(None, TINY) is None
    assert slicing_of("auto", TINY) == Slicing(64, 12)
    square = dataclasses.replace(TINY, resize=Resize(384, 384, "stretch"))
    assert slicing_of("auto", square) == Slicing(384, 76)
    assert slicing_of("640", TINY) == Slicing(640, 128)
    for wrong in ("63", "-640", "6.5", "large", ""):
        with pytest.raises(UsageError, match="expected auto, or the side of a tile"):
            slicing_of(wrong, TINY)


def test_what_two_tiles_share() -> None:
    one, other = Tile(0, 0, 64, 64), Tile(50, 40, 64, 64)
    assert one.shared(other) == other.shared(one) == Tile(50, 40, 14, 24)
    away = one.shared(Tile(64, 0, 64, 64))
    assert away.height * away.width == 0


def test_a_tile_is_cut_without_a_copy() -> None:
    pixels = np.arange(10 * 12 * 3, dtype=np.uint8).reshape(10, 12, 3)
    tile = cut(Image("a", pixels, (10, 12)), Tile(2, 3, 4, 5))
    assert np.array_equal(tile.pixels, pixels[2:6, 3:8])
    assert np.shares_memory(tile.pixels, pixels)
    assert tile.original_size == (4, 5)
