"""Single masks: convert boolean arrays to RLE and back, and compute area and box."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from segcli.masks.rle.counts import compress, expand
from segcli.types import Size, Tile

Box = tuple[float, float, float, float]


def encode(mask: NDArray[np.bool_]) -> bytes:
    """The RLE of a boolean mask (height, width); fastest if it is stored by columns."""
    if mask.ndim != 2 or not mask.size:
        raise ValueError(f"expected a mask (height, width) of at least 1 px, got {mask.shape}")
    counts: bytes = coco.encode(np.asfortranarray(mask).view(np.uint8))["counts"]
    return counts


def decode(rle: bytes, height: int, width: int) -> NDArray[np.bool_]:
    """The mask as booleans (height, width). Raises UsageError for a damaged RLE, see `check`."""
    return _paint(expand(rle, height, width)).reshape(width, height).T


def decode_crop(rle: bytes, height: int, width: int) -> tuple[int, int, NDArray[np.bool_]]:
    """(x, y, crop): the mask inside its tight box, whose first pixel is (x, y) of the image.

    The cost depends on the size of the box, not of the image. An empty mask gives (0, 0) and an
    array of shape (0, 0). Raises UsageError for a damaged RLE, see `check`.
    """
    starts, ends = _inside(expand(rle, height, width))
    if not len(starts):
        return 0, 0, np.zeros((0, 0), bool)
    column, top, bottom = _pieces(starts, ends, height)
    x, y = int(column[0]), int(top.min())
    tall, wide = int(bottom.max()) - y, int(column[-1]) - x + 1
    bounds = np.empty(2 * len(column) + 2, np.int64)
    bounds[0], bounds[-1] = 0, tall * wide
    bounds[1:-1:2] = (column - x) * tall + top - y
    bounds[2:-1:2] = (column - x) * tall + bottom - y
    return x, y, _paint(np.diff(bounds)).reshape(wide, tall).T


def decode_window(rle: bytes, size: Size, window: Tile) -> NDArray[np.bool_]:
    """The mask of `size` px in a `window` of it, bool (height, width) of that.

    The cost depends on the size of the window, not of the mask. Raises as `check` does.
    """
    tall, left, right = size[0], window.x * size[0], (window.x + window.width) * size[0]
    starts, ends = _inside(expand(rle, *size))
    met = (ends > left) & (starts < right)
    column, top, bottom = _pieces(starts[met].clip(left), ends[met].clip(max=right), tall)
    top = (top - window.y).clip(0, window.height)
    bottom = (bottom - window.y).clip(0, window.height)
    first = (column - window.x) * window.height
    bounds = np.empty(2 * len(first) + 2, np.int64)
    bounds[0], bounds[-1] = 0, window.height * window.width
    bounds[1:-1:2] = first + top
    bounds[2:-1:2] = first + bottom
    return _paint(np.diff(bounds)).reshape(window.width, window.height).T


def place(rle: bytes, tile: Tile, frame: Size) -> bytes:
    """The RLE in a `frame` (H, W) of the mask of a tile of it. Raises as `check` does."""
    size = tile.height, tile.width
    starts, ends = _inside(expand(rle, *size))
    column, top, bottom = _pieces(starts, ends, size[0])
    first = (column + tile.x) * frame[0] + tile.y
    starts, ends = first + top, first + bottom
    parted = np.ones(len(starts), bool)
    parted[1:] = starts[1:] > ends[:-1]  # others go on from the end of a column
    bounds = np.empty(2 * int(parted.sum()) + 2, np.int64)
    bounds[0], bounds[-1] = 0, frame[0] * frame[1]
    bounds[1:-1:2] = starts[parted]
    bounds[2:-1:2] = ends[np.append(parted[1:], True)] if len(starts) else ends
    runs = np.diff(bounds)
    return compress(runs if runs[-1] or len(runs) == 1 else runs[:-1])


def area(rle: bytes, height: int, width: int) -> int:
    """Pixels inside. Raises UsageError for a damaged RLE, see `check`."""
    return int(expand(rle, height, width)[1::2].sum())


def to_box(rle: bytes, height: int, width: int) -> Box:
    """The tight box (x, y, w, h) px; all zeros for an empty mask. Raises as `check` does."""
    runs = expand(rle, height, width)
    x, y, w, h = runs_to_boxes(runs, np.array([len(runs)]), height)[0].tolist()
    return x, y, w, h


def runs_to_boxes(
    runs: NDArray[np.int64], lengths: NDArray[np.integer], height: int
) -> NDArray[np.float64]:
    """Tight boxes (n, 4), xywh px, of n masks whose `runs` follow one another, `lengths` each."""
    boxes = np.zeros((len(lengths), 4))
    stops = np.cumsum(lengths)
    for index, (begin, stop) in enumerate(zip(stops - lengths, stops, strict=True)):
        starts, ends = _inside(runs[begin:stop])
        if not len(starts):
            continue
        first, last = starts // height, (ends - 1) // height
        x = int(first[0])
        wide = int(last[-1]) - x + 1
        # A run that leaves its column touches the bottom of one and the top of the next.
        crosses = bool((first != last).any())
        top = 0 if crosses else int((starts - first * height).min())
        bottom = height if crosses else int((ends - first * height).max())
        boxes[index] = x, top, wide, bottom - top
    return boxes


def _inside(runs: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the runs inside the mask start and end, in pixels column by column; none is empty."""
    ends = np.cumsum(runs)[1::2]
    inside = runs[1::2]
    ends, inside = ends[inside > 0], inside[inside > 0]
    return ends - inside, ends


def _pieces(
    starts: NDArray[np.int64], ends: NDArray[np.int64], height: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Column, top and bottom, px, of runs cut at the ends of columns.

    A run that goes on in the next column becomes one piece for each column.
    """
    first, last = starts // height, (ends - 1) // height
    pieces = last - first + 1
    column = np.arange(pieces.sum()) + np.repeat(first - np.cumsum(pieces) + pieces, pieces)
    top = np.maximum(np.repeat(starts, pieces) - column * height, 0)
    bottom = np.minimum(np.repeat(ends, pieces) - column * height, height)
    return column, top, bottom


def _paint(runs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Runs as booleans, False first."""
    return np.repeat(np.arange(len(runs)) & 1 == 1, runs)
