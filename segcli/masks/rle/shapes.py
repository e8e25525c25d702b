"""Convert masks of annotation files, polygons and plain run lengths, to RLE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco

from segcli.errors import UsageError
from segcli.masks.rle.counts import check, compress, expand

_FARTHEST = 5
"""The maximum of a polygon's coordinates, relative to the longer side of the image. pycocotools
follows every outline in steps of a fifth of a pixel, and crashes if there are too many."""


def from_coco(segmentation: Any, height: int, width: int) -> bytes:
    """The RLE of a segmentation in COCO JSON: polygons, or a compressed or uncompressed RLE.

    Raises UsageError if it is none of these, or an RLE of another size than height x width px.
    """
    if not isinstance(segmentation, Mapping):
        return from_polygons(segmentation, height, width)
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if size is None or list(size) != [height, width]:
        raise UsageError(f"an RLE of size {size} in an image of {height} x {width} px")
    if isinstance(counts, str | bytes):
        # Characters that cannot occur become "?", which check names.
        rle = counts.encode("ascii", "replace") if isinstance(counts, str) else counts
        check(rle, height, width)
        return rle
    return from_runs(counts, height, width)


def from_runs(counts: Any, height: int, width: int) -> bytes:
    """The RLE of plain run lengths, outside first. Raises UsageError when they do not fill it."""
    try:
        runs = np.asarray(counts, dtype=np.int64)
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"run lengths that are not whole numbers: {error}") from None
    if runs.ndim != 1 or not runs.size or runs.min() < 0 or runs.max() > height * width:
        raise UsageError("run lengths must be a list of whole numbers of px, none below 0")
    rle = compress(runs)
    expand(rle, height, width)
    return rle


def from_polygons(polygons: Sequence[Sequence[float]], height: int, width: int) -> bytes:
    """The union of polygons [x0, y0, x1, y1, ...] px, drawn by COCO's own rule.

    Raises UsageError for fewer than three points, and for coordinates that are not numbers or are
    far outside the image.
    """
    usable = [_points(polygon, height, width) for polygon in polygons]
    if not usable:
        return compress(np.array([height * width]))
    drawn = coco.frPyObjects(usable, height, width)
    counts: bytes = coco.merge(drawn)["counts"]
    return counts


def union(texts: Sequence[bytes], height: int, width: int) -> bytes:
    """One RLE of all pixels inside any of at least one checked RLE."""
    if len(texts) == 1:
        return texts[0]
    joined = coco.merge([{"size": [height, width], "counts": text} for text in texts])
    counts: bytes = joined["counts"]
    return counts


def _points(polygon: Sequence[float], height: int, width: int) -> list[float]:
    """The polygon as a list that is safe for pycocotools."""
    try:
        points = np.asarray(polygon, dtype=np.float64)
    except (TypeError, ValueError):
        raise UsageError("a polygon must be a list of numbers x0, y0, x1, y1, ...") from None
    if points.ndim != 1 or len(points) < 6 or len(points) % 2:
        raise UsageError(
            f"a polygon of {points.size} numbers; expected x0, y0, x1, y1, ... of at least three "
            "points"
        )
    if not np.isfinite(points).all() or np.abs(points).max() > _FARTHEST * max(height, width):
        raise UsageError(
            f"a polygon with a coordinate of {points[np.abs(points).argmax()]} px in an image of "
            f"{height} x {width} px; are its coordinates those of another image?"
        )
    numbers: list[float] = points.tolist()
    return numbers
