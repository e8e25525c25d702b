"""Measures of the ablation besides AP: recall of crowded objects, and duplicates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

HIT = 0.5  # mask IoU
SEEN = 0.1  # the score from which on a second detection counts as a duplicate


@dataclass(frozen=True, slots=True)
class Masks:
    """`labels` (n,), `masks` bool (n, h, w), and of detections their `scores` (n,)."""

    labels: NDArray[np.int64]
    masks: NDArray[np.bool_]
    scores: NDArray[np.float64]


def overlaps(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """IoU (d, t) of masks (d, h, w) and (t, h, w)."""
    pixels = truth.shape[1] * truth.shape[2]
    one = found.reshape(len(found), pixels).astype(np.float32)
    two = truth.reshape(len(truth), pixels).astype(np.float32)
    shared = one @ two.T
    union = one.sum(1)[:, None] + two.sum(1) - shared
    return (shared / np.maximum(union, 1)).astype(np.float64)


def crowded(masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(t,): whether the middle of an object's box lies in the box of another one."""
    inside = np.zeros(len(masks), np.bool_)
    boxes = [box_of(mask) for mask in masks]
    for i, (x, y, x2, y2) in enumerate(boxes):
        cx, cy = (x + x2) / 2, (y + y2) / 2
        for j, (left, top, right, bottom) in enumerate(boxes):
            if i != j and left < cx < right and top < cy < bottom:
                inside[i] = True
    return inside


def box_of(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """xyxy px, the last pixel included."""
    y, x = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(x[0]), int(y[0]), int(x[-1]) + 1, int(y[-1]) + 1


def found_twice(found: Masks, truth: Masks) -> int:
    """Detections of at least SEEN whose object a better one has hit already; best first."""
    if not len(truth.masks) or not len(found.masks):
        return 0
    iou = overlaps(found.masks, truth.masks)
    iou[found.labels[:, None] != truth.labels] = 0
    taken: set[int] = set()
    twice = 0
    for d in np.argsort(-found.scores, kind="stable"):
        best = int(iou[d].argmax())
        if found.scores[d] >= SEEN and iou[d, best] >= HIT:
            twice += best in taken
            taken.add(best)
    return twice


def counted(pairs: Sequence[tuple[Masks, Masks]]) -> dict[str, Any]:
    """Over images (found, truth): recall at IoU 0.5 of all, of crowded and of other objects, and
    duplicates per image."""
    hits: list[NDArray[np.bool_]] = []
    crowds: list[NDArray[np.bool_]] = []
    for found, truth in pairs:
        iou = overlaps(found.masks, truth.masks)
        iou[found.labels[:, None] != truth.labels] = 0
        hits.append((iou >= HIT).any(0) if len(found.masks) else np.zeros(len(truth.masks), bool))
        crowds.append(crowded(truth.masks))
    hit, crowd = np.concatenate(hits), np.concatenate(crowds)
    return {
        "recall": float(hit.mean()),
        "recall_crowded": float(hit[crowd].mean()) if crowd.any() else float("nan"),
        "recall_alone": float(hit[~crowd].mean()) if (~crowd).any() else float("nan"),
        "crowded_share": float(crowd.mean()),
        "duplicates_per_image": sum(found_twice(f, t) for f, t in pairs) / max(1, len(pairs)),
        "detections_per_image": sum(len(f.masks) for f, _ in pairs) / max(1, len(pairs)),
    }
