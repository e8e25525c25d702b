"""Move masks and compare them as run lengths."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from segcli.masks.rle.counts import compress, expand
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
    """A checked mask, moved by so many px (rounded) inside an image of `size` (H, W).

    A mask that would leave the image stops at its edge. Run lengths count column by column, so only
    the first and the last one change, and only their characters are written again.
    """
    x, y, w, h = coco.toBbox([{"size": list(size), "counts": rle}])[0].tolist()
    x1, y1 = size[1] - x - w, size[0] - y - h  # how far it can go
    dx, dy = round(min(max(right, -x), x1)), round(min(max(down, -y), y1))
    offset = int(dx * size[0] + dy)
    if not offset or not w:
        return rle
    count = len(rle.translate(None, _MORE))
    if count < 3 or count % 2 == 0 or (dx == x1 and dy == y1):
        return _moved_runs(rle, size, offset)  # it has the last px of the image, or will have it
    head = 1
    while rle[head - 1] in _MORE:
        head += 1
    tail = len(rle) - 1
    while rle[tail - 1] in _MORE:
        tail -= 1
    # The last run is written as a difference to the one two before, which stays the same.
    first, last = _number(rle[:head]) + offset, _number(rle[tail:]) - offset
    return _text(first) + rle[head:tail] + _text(last)


def _moved_runs(rle: bytes, size: Size, offset: int) -> bytes:
    runs = expand(rle, *size)
    if len(runs) % 2 == 0:  # the last run is inside the mask
        runs = np.append(runs, 0)
    runs[0] += offset
    runs[-1] -= offset
    return compress(runs if runs[-1] else runs[:-1])


_MORE = bytes(range(80, 112))
"""The characters that are not the last one of their number."""


def _number(text: bytes) -> int:
    """A number of COCO's text: five bits a character, the lowest first, with its sign."""
    value = 0
    for i, code in enumerate(text):
        value |= ((code - 48) & 31) << (5 * i)
    return value - (1 << (5 * len(text))) if (text[-1] - 48) & 16 else value


def _text(value: int) -> bytes:
    codes: list[int] = []
    while True:
        bits, value = value & 31, value >> 5
        if value == (-1 if bits & 16 else 0):
            return bytes([*codes, bits + 48])
        codes.append(bits + 80)
