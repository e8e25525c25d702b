"""Fill polygons by the even-odd rule, as tools that read YOLO labels do.

A pixel is inside if a ray from its centre crosses the outline an odd number of times. So a line
that is drawn in both directions has no effect, and one polygon can have several parts and holes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segcli.errors import UsageError
from segcli.masks import rle

_FARTHEST = 5  # image sides; a corner farther outside belongs to another image


def fill(points: NDArray[np.float64], height: int, width: int) -> bytes:
    """The RLE of a polygon (n, 2) of x, y px, cut off at the border of the image.

    Raises UsageError for fewer than three corners, or corners that are not finite or far outside.
    """
    if len(points) < 3:
        raise UsageError(f"a polygon of {len(points)} corners; expected at least three")
    if not np.isfinite(points).all() or np.abs(points).max() > _FARTHEST * max(height, width):
        raise UsageError("a corner is far outside the image; coordinates go from 0 to 1")
    inside = np.zeros((height, width), bool, order="F")
    left, top = (int(side) for side in np.floor(points.min(0)).clip(0))
    right, bottom = np.minimum(np.ceil(points.max(0)), (width, height)).astype(int).tolist()
    if right > left and bottom > top:
        window = _window(points - (left, top), bottom - top, right - left)
        inside[top:bottom, left:right] = window
    return rle.encode(inside)


def _window(points: NDArray[np.float64], height: int, width: int) -> NDArray[np.bool_]:
    """The pixels (height, width) inside, counting in each row the sides to the left."""
    other = np.roll(points, -1, axis=0)
    down = points[:, 1] <= other[:, 1]
    # From above to below always, so that the way back crosses at the very same place.
    (x0, y0), (x1, y1) = (
        np.where(down, start.T, end.T) for start, end in ((points, other), (other, points))
    )
    first = np.ceil(y0 - 0.5).clip(0).astype(np.int64)
    count = (np.ceil(y1 - 0.5).clip(max=height).astype(np.int64) - first).clip(0)
    side = np.repeat(np.arange(len(points)), count)
    row = np.arange(len(side)) - np.repeat(np.cumsum(count) - count, count) + first[side]
    along = (row + 0.5 - y0[side]) / (y1 - y0)[side]
    x = x0[side] + along * (x1 - x0)[side]
    column = np.ceil(x - 0.5).clip(0, width).astype(np.int64)
    crossed = np.bincount(row * (width + 1) + column, minlength=height * (width + 1))
    inside: NDArray[np.bool_] = np.cumsum(crossed.reshape(height, -1), axis=1)[:, :width] % 2 == 1
    return inside
