"""Keypoints compared by OKS, the similarity of object keypoints, which pycocotools computes.

OKS is to keypoints what the IoU is to masks: the mean over the annotated keypoints of
exp(-d^2 / (2 s^2 k^2)), with the distance d, the square root s of the object's area, and a
tolerance k of each kind of keypoint. An object without an annotated keypoint is neither right nor
wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from segcli.annotations.coco_keypoints import parsed
from segcli.annotations.columns import Items, name_of
from segcli.annotations.ground_truth import GroundTruth
from segcli.errors import UsageError
from segcli.evaluate.arrow import valid

MAX_DETS = (20,)
RANGES = (("medium", 32.0**2, 96.0**2), ("large", 96.0**2, 1e10))
"""What COCO counts for keypoints: there are no annotated small people."""

_PERSON = 17  # keypoints whose tolerances pycocotools knows


@dataclass(frozen=True, slots=True)
class Points:
    """Keypoints of D detections: `xys` (D, P, 3) x and y in px and a score; NaN without any."""

    xys: NDArray[np.float64]

    def take(self, chosen: NDArray[np.int64]) -> Points:
        return Points(self.xys[chosen])

    def boxes(self) -> NDArray[np.float64]:
        """(D, 4) xywh: the extent of the keypoints, by whose area detections are counted."""
        if not self.xys.size:
            return np.zeros((len(self.xys), 4))
        low, high = self.xys[..., :2].min(1), self.xys[..., :2].max(1)
        return np.concatenate((low, high - low), 1)

    def scaled(self, factor: NDArray[np.float64]) -> Points:
        """`factor` (D, 2): for x and y."""
        xys = self.xys.copy()
        xys[..., :2] *= factor[:, None]
        return Points(xys)


def points_of_results(items: Items) -> Points:
    """Raises UsageError that names the detection at fault."""
    found: list[NDArray[np.float64]] = []
    for i, item in enumerate(items):
        try:
            if "keypoints" not in item:
                raise UsageError('it has no "keypoints"')
            found.append(parsed(item["keypoints"], len(found[0]) if found else None))
        except UsageError as error:
            raise UsageError(f"{name_of(items, i, 'detection')}: {error}") from None
    return Points(np.stack(found) if found else np.zeros((0, 0, 3)))


def points_of_rows(
    batches: Sequence[pa.RecordBatch], rows: Sequence[NDArray[np.bool_]], where: str
) -> Points:
    """Of the rows that are masks. Raises UsageError if they have different numbers of keypoints."""
    found = []
    for batch, own in zip(batches, rows, strict=True):
        column = batch["keypoints"]
        there, lengths = valid(column), np.diff(column.offsets.to_numpy())
        counts = {*lengths[there & own].tolist()}
        if len(counts) > 1:
            raise UsageError(
                f"{where} has objects with {sorted(counts)} keypoints; expected one number"
            )
        count = counts.pop() if counts else 0
        values = np.full((len(batch), count, 3), np.nan)
        flat = column.flatten()
        three = [flat.field(name).to_numpy(zero_copy_only=False) for name in ("x", "y", "score")]
        if count:
            there &= lengths == count
            values[there] = np.stack(three, 1).reshape(-1, count, 3)
        found.append(values[own])
    count = max((part.shape[1] for part in found), default=0)
    same = [part if part.shape[1] else np.full((len(part), count, 3), np.nan) for part in found]
    if any(part.shape[1] != count for part in same):
        raise UsageError(f"{where} has objects with different numbers of keypoints")
    return Points(np.concatenate(same) if same else np.zeros((0, 0, 3)))


def annotated(truth: GroundTruth, counted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those of the categories that have keypoints. Raises UsageError if none has."""
    known = {k for k, one in enumerate(truth.skeletons) if one is not None}
    known |= {int(truth.category[i]) for i, own in enumerate(truth.keypoints) if own is not None}
    found = np.array([k for k in counted.tolist() if k in known], np.int64)
    if not len(found):
        raise UsageError(
            f"{truth.where} annotates no keypoints of the categories that are compared; expected "
            '"keypoints" in its annotations'
        )
    return found


def require_points(
    truth: GroundTruth, categories: NDArray[np.int64], points: Points, where: str
) -> None:
    """Raises UsageError unless every detection has as many keypoints as the objects."""
    counts = {len(one.names) for k, one in enumerate(truth.skeletons) if one and k in categories}
    counts |= {
        len(own)
        for own, k in zip(truth.keypoints, truth.category.tolist(), strict=True)
        if own is not None and k in categories
    }
    if len(counts) > 1:
        raise UsageError(
            f"{truth.where} has categories with {sorted(counts)} keypoints; choose those of one "
            "number with `categories`"
        )
    if np.isnan(points.xys).any() or (len(points.xys) and not points.xys.shape[1]):
        raise UsageError(f"{where} has objects without keypoints: its model finds none")
    if len(points.xys) and points.xys.shape[1] not in counts:
        raise UsageError(
            f"{where} has {points.xys.shape[1]} keypoints per object, {truth.where} {counts.pop()}"
        )


def sigmas(truth: GroundTruth, categories: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """(P,): the tolerances of the keypoints, those of COCO's people where the file gives none.

    Raises UsageError if there are none for `count` keypoints.
    """
    known_here = [one for k, one in enumerate(truth.skeletons) if one and k in categories]
    given = {one.sigmas for one in known_here if one.sigmas}
    if len(given) == 1:
        return np.array(given.pop(), np.float64)
    if count != _PERSON:
        raise UsageError(
            f'no tolerances are known for {count} keypoints; give them as a list "sigmas" in the '
            f"category of {truth.where}, as in COCO's: 0.026 for an eye, 0.107 for a hip"
        )
    from pycocotools.cocoeval import Params

    known: NDArray[np.float64] = Params("keypoints").kpt_oks_sigmas
    return known


def object_fields(truth: GroundTruth, i: int, count: int) -> dict[str, Any]:
    """What pycocotools wants of an object."""
    own = truth.keypoints[i]
    points = np.zeros((count, 3)) if own is None else own
    return {"keypoints": points.ravel().tolist(), "num_keypoints": int(truth.keypoint_counts[i])}
