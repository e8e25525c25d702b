"""Masks against regions of the image, by run lengths alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from segcli.types import Size


def shares_inside(
    texts: Sequence[bytes], regions: Sequence[bytes], size: Size
) -> NDArray[np.float64]:
    """The share (n, m) of each of n masks that is inside each of m regions; 0 for an empty mask.

    All are checked RLEs of one `size` (height, width) px.
    """
    if not texts or not regions:
        return np.zeros((len(texts), len(regions)))
    # For a crowd, COCO's IoU is the intersection over the area of the mask.
    shares = coco.iou(_objects(texts, size), _objects(regions, size), [1] * len(regions))
    return np.nan_to_num(np.asarray(shares, dtype=np.float64))


def lower_edges(texts: Sequence[bytes], size: Size, *, share: float) -> list[bytes]:
    """The lowest part of each mask: its px in the last `share` of its rows, at least in one row."""
    objects = _objects(texts, size)
    if not objects:
        return []
    boxes = np.asarray(coco.toBbox(objects), dtype=np.float64)
    rows = np.ceil(share * boxes[:, 3]).clip(1)
    strips = boxes.copy()
    strips[:, 1] += boxes[:, 3] - rows
    strips[:, 3] = rows
    bands = coco.frPyObjects(strips, *size)
    cut = (
        coco.merge([one, band], intersect=True) for one, band in zip(objects, bands, strict=True)
    )
    return [one["counts"] for one in cut]


def _objects(texts: Sequence[bytes], size: Size) -> list[dict[str, object]]:
    return [{"size": list(size), "counts": text} for text in texts]
