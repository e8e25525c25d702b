"""Boundary IoU: the IoU of the boundary regions of masks, 2 % of the image's diagonal wide.

Cheng et al., "Boundary IoU", CVPR 2021: the result is the smaller of the mask IoU and the IoU of
the boundary regions; crowd regions are compared by mask only.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.masks import rle

RATIO = 0.02


def rim(text: bytes, height: int, width: int) -> bytes:
    """The RLE of what an erosion takes away; beyond the image's edge there is nothing."""
    thick = max(1, round(RATIO * float(np.hypot(height, width))))
    x, y, crop = rle.decode_crop(text, height, width)
    if not crop.size:
        return text
    whole = np.zeros((height, width), bool)
    tall, wide = crop.shape
    whole[y : y + tall, x : x + wide] = crop & ~_eroded(_eroded(crop, thick).T, thick).T
    return rle.encode(whole)


def _eroded(mask: NDArray[np.bool_], thick: int) -> NDArray[np.bool_]:
    """True where the 2 * thick + 1 pixels of the column around it are, zeros beyond the array."""
    tall = len(mask)
    sums = np.zeros((tall + 2 * thick + 1, mask.shape[1]), np.int64)
    np.cumsum(mask, axis=0, out=sums[thick + 1 : thick + 1 + tall])
    sums[thick + 1 + tall :] = sums[thick + tall]
    eroded: NDArray[np.bool_] = (sums[2 * thick + 1 :] - sums[: -2 * thick - 1])[:tall] == (
        2 * thick + 1
    )
    return eroded


@cache
def boundary_evaluator() -> Any:
    """pycocotools' COCOeval, told to compare rims as well."""
    from pycocotools import mask as coco
    from pycocotools.cocoeval import COCOeval

    class BoundaryEval(COCOeval):  # type: ignore[misc]  # pycocotools has no types
        def computeIoU(self, imgId: int, catId: int) -> Any:
            """(D, G) for the detections of one image and category, best first."""
            ious = super().computeIoU(imgId, catId)
            if len(ious) == 0:
                return ious
            objects, found = self._gts[imgId, catId], self._dts[imgId, catId]
            best = np.argsort([-one["score"] for one in found], kind="mergesort")
            found = [found[i] for i in best[: self.params.maxDets[-1]]]
            crowd = np.array([int(one["iscrowd"]) for one in objects])
            rims = coco.iou(_rims(found), _rims(objects), crowd)
            plain = crowd == 0
            ious[:, plain] = np.minimum(ious[:, plain], rims[:, plain])
            return ious

    return BoundaryEval


def _rims(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    masks = [item["segmentation"] for item in items]
    return [
        {"size": mask["size"], "counts": rim(_bytes(mask["counts"]), *mask["size"])}
        for mask in masks
    ]


def _bytes(counts: bytes | str) -> bytes:
    return counts.encode() if isinstance(counts, str) else counts
