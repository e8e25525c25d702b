"""Move masks and compare them as run lengths."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from segcli.masks.rle.counts import compress, expand
from segcli.masks.rle.mask import runs_to_boxes
from segcli.types import Size


def ious(one: Sequence[bytes], other: Sequence[bytes], size: Size) -> NDArray[np.float64]:
    """Intersection over union of each of n masks with each of m checked masks of `size` (H, W) px,
    (n, m). Pairs whose boxes do not meet cost next to nothing."""
    if not one or not other:
        return np.zeros((len(one), len(other)))
    first, second = ([{"size": list(size), "counts": r} for r in some] for some in (one, other))
    found: NDArray[np.float64] = coco.iou(first, second, [0] * len(other))
    return found


def moved(rle: bytes, size: Size, right: float, down: float) -> bytes:
    """The mask moved by so many px (rounded) inside an image of `size` (H, W).

    A mask that would leave the image stops at its edge. Run lengths count column by column, so only
    the first and the last one change. Raises UsageError for a damaged RLE, see `check`.
    """
    runs = expand(rle, *size)
    x, y, w, h = runs_to_boxes(runs, np.array([len(runs)]), size[0])[0].tolist()
    dx = int(np.clip(round(right), -x, size[1] - x - w))
    dy = int(np.clip(round(down), -y, size[0] - y - h))
    offset = dx * size[0] + dy
    if not offset or not w:
        return rle
    if len(runs) % 2 == 0:  # the last run is inside the mask
        runs = np.append(runs, 0)
    runs[0] += offset
    runs[-1] -= offset
    return compress(runs if runs[-1] else runs[:-1])
