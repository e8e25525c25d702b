"""Masks that are moved and compared as run lengths."""

import numpy as np
import pytest
from numpy.typing import NDArray

from segcli.masks import rle

SIZE = (23, 31)


def shifted(mask: NDArray[np.bool_], right: float, down: float) -> NDArray[np.bool_]:
    """What `moved` has to give, pixel by pixel."""
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return mask
    dx = round(np.clip(right, -columns.min(), SIZE[1] - 1 - columns.max()))
    dy = round(np.clip(down, -rows.min(), SIZE[0] - 1 - rows.max()))
    out = np.zeros_like(mask)
    out[rows + dy, columns + dx] = True
    return out


@pytest.mark.parametrize("seed", range(8))
def test_moved_masks_are_those_moved_px_by_px(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(100):
        mask = np.zeros(SIZE, bool)
        y, x = rng.integers(0, SIZE[0]), rng.integers(0, SIZE[1])
        block = mask[y : y + rng.integers(1, 15), x : x + rng.integers(1, 20)]
        block[:] = rng.random(block.shape) < rng.choice([0.3, 0.9, 1])
        right, down = rng.normal(0, 12, 2)
        moved = rle.moved(rle.encode(mask), SIZE, right, down)
        assert moved == rle.encode(shifted(mask, right, down))


def test_ious_are_those_of_pixels() -> None:
    rng = np.random.default_rng(0)
    masks = rng.random((5, *SIZE)) < 0.4
    texts = [rle.encode(mask) for mask in masks]
    found = rle.ious(texts[:2], texts[2:], SIZE)
    for i, one in enumerate(masks[:2]):
        for j, other in enumerate(masks[2:]):
            assert found[i, j] == pytest.approx((one & other).sum() / (one | other).sum())
    assert rle.ious([], texts, SIZE).shape == (0, 5)
