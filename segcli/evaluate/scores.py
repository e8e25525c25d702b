"""Summarise curves: COCO's twelve metrics (ten for keypoints), and those of each category."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segcli.evaluate.engines import RANGES, Curves, Params
from segcli.evaluate.keypoints import RANGES as KEYPOINT_RANGES

_LETTER = {"small": "s", "medium": "m", "large": "l"}
_AT_50, _AT_75 = 0, 5  # of the ten IoU thresholds 0.50, 0.55, ... 0.95


@dataclass(frozen=True, slots=True)
class PerClass:
    """One category; -1 where the ground truth has no object of it."""

    name: str
    ap: float
    ap50: float
    ap75: float
    ar: float
    objects: int
    detections: int


def summary(curves: Curves, params: Params) -> dict[str, float]:
    """AP, AP50, AP75, AP per range of area, AR at each of max_dets, AR per range of area.

    Averages as pycocotools takes them, so that they agree to the last bit; -1: nothing to average.
    """
    precision, recall = curves.precision, curves.recall
    found = {
        "AP": _mean(precision[:, :, :, 0, -1]),
        "AP50": _mean(precision[[_AT_50], :, :, 0, -1]),
        "AP75": _mean(precision[[_AT_75], :, :, 0, -1]),
    }
    for area, (label, _, _) in enumerate(params.ranges, 1):
        found[f"AP{_suffix(label, params)}"] = _mean(precision[:, :, :, area, -1])
    for m, most in enumerate(params.max_dets):
        found[f"AR{most}"] = _mean(recall[:, :, 0, m])
    for area, (label, _, _) in enumerate(params.ranges, 1):
        found[f"AR{_suffix(label, params)}"] = _mean(recall[:, :, area, -1])
    return found


def keypoint_summary(curves: Curves, params: Params) -> dict[str, float]:
    """AP, AP50, AP75, AP per range of area, and the same of AR: the ten numbers of COCO."""
    found: dict[str, float] = {}
    for kind in ("AP", "AR"):
        values = (curves.precision if kind == "AP" else curves.recall)[..., -1]
        found[kind] = _mean(values[..., 0])
        found[f"{kind}50"] = _mean(values[[_AT_50], ..., 0])
        found[f"{kind}75"] = _mean(values[[_AT_75], ..., 0])
        for area, (label, _, _) in enumerate(params.ranges, 1):
            suffix = _LETTER.get(label) if params.ranges == KEYPOINT_RANGES else f"_{label}"
            found[f"{kind}{suffix}"] = _mean(values[..., area])
    return found


def per_class(curves: Curves, names: list[str], counts: NDArray[np.int64]) -> list[PerClass]:
    """In the order of `names`; `counts` (K, 2): objects and detections of each category."""
    return [
        PerClass(
            name,
            _mean(curves.precision[:, :, k, 0, -1]),
            _mean(curves.precision[_AT_50, :, k, 0, -1]),
            _mean(curves.precision[_AT_75, :, k, 0, -1]),
            _mean(curves.recall[:, k, 0, -1]),
            int(counts[k, 0]),
            int(counts[k, 1]),
        )
        for k, name in enumerate(names)
    ]


def _suffix(label: str, params: Params) -> str:
    return _LETTER[label] if params.ranges == RANGES else f"_{label}"


def _mean(values: NDArray[np.float64]) -> float:
    there = values[values > -1]
    return float(np.mean(there)) if len(there) else -1.0
