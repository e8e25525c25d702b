"""Distances, connected components and openings, by SciPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]
Labels = NDArray[np.int64]

_EIGHT = np.ones((3, 3), dtype=bool)


def opened(mask: Mask) -> Mask:
    """Eroded, then dilated, by 3 x 3; beyond the image there is nothing."""
    kept: Mask = ndimage.binary_opening(mask, _EIGHT)
    return kept


def depth(mask: Mask) -> NDArray[np.int32]:
    """How many erosions by 3 x 3 take a px away, 0 outside; beyond the image there is nothing."""
    steps: NDArray[np.int32] = ndimage.distance_transform_cdt(np.pad(mask, 1), "chessboard")
    return steps[1:-1, 1:-1]


def distance_inside(mask: Mask) -> NDArray[np.float64]:
    """The distance of every px of the mask from the nearest px outside: 1 at the rim, 0 outside.

    Beyond the image there is nothing to be near to; a mask that fills the image is far from
    everything, as far as the image's longer side.
    """
    if mask.all():
        return np.full(mask.shape, float(max(mask.shape)))
    distance: NDArray[np.float64] = ndimage.distance_transform_edt(mask)
    return distance


def components(mask: Mask, *, diagonal: bool) -> tuple[Labels, int]:
    """Labels from 1 in reading order, and how many; `diagonal`: px that touch at a corner are
    connected."""
    found, count = ndimage.label(mask, structure=_EIGHT if diagonal else None)
    return found.astype(np.int64), int(count)


def without_small(mask: Mask, smallest: int) -> Mask:
    """The mask without its 4-connected parts of fewer than `smallest` px."""
    labels, count = components(mask, diagonal=False)
    large = np.bincount(labels.ravel(), minlength=count + 1) >= smallest
    large[0] = False
    kept: Mask = large[labels]
    return kept


def dilated(labels: Labels, side: int) -> Labels:
    """Every label spread over a square of `side` px; where several reach, the last has the px."""
    spread: Labels = ndimage.maximum_filter(labels, size=side, mode="constant", cval=0)
    return spread


def boxes(labels: Labels, count: int) -> NDArray[np.int64]:
    """Tight boxes (count, 4) xyxy, the last excluded, of labels 1..count; zeros where one is not
    on the map."""
    found = np.zeros((count, 4), dtype=np.int64)
    for box, place in zip(found, ndimage.find_objects(labels, max_label=count), strict=True):
        if place is not None:
            rows, columns = place
            box[:] = columns.start, rows.start, columns.stop, rows.stop
    return found
