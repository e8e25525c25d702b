"""TIDE: what AP50 each kind of error costs (Bolya et al. 2020, arXiv:2008.08115, section 2).

A detection is right if it overlaps an unmatched object of its category by an IoU of 0.5. Each wrong
detection has one kind, and an object that no fixed detection would find is missed. Fixing a kind of
error means: the best detection of each object that is too loose or of the wrong class becomes
right, and the others are removed; missed objects are ignored.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from segcli.evaluate.matched import Case

KINDS = ("classification", "localisation", "both", "duplicate", "background", "missed")
_RIGHT, _FALSE_BELOW = 0.5, 0.1  # IoU
_Point = tuple[float, bool]  # (score, whether it is right)


@dataclass(slots=True)
class _Error:
    """`before`: the detection among the points of its category, None for one in a crowd. `after`
    (category, score): the point that it becomes when it is repaired, None when it goes."""

    kind: str
    before: tuple[int, _Point] | None
    after: tuple[int, float] | None = None


@dataclass(slots=True)
class _Found:
    points: list[tuple[int, _Point]] = field(default_factory=list)  # as they came
    right: list[tuple[int, float]] = field(default_factory=list)
    errors: list[_Error] = field(default_factory=list)
    missed: list[int] = field(default_factory=list)  # categories
    objects: dict[int, int] = field(default_factory=lambda: defaultdict(int))


def tide(case: Case, iou: str, *, most: int) -> dict[str, tuple[float, int]]:
    """Kind -> (points of AP50 gained by fixing it, number of errors).

    The best `most` detections of each image count. A category with detections but without an
    object has an AP of 0; a category with neither does not count.
    """
    found = _Found()
    for image in _images(case, iou):
        _judge(image, found, most)
    before = _ap50(found, None)
    return {
        kind: (
            max(0.0, _ap50(found, kind) - before),
            len(found.missed) if kind == "missed" else sum(e.kind == kind for e in found.errors),
        )
        for kind in KINDS
    }


@dataclass(frozen=True, slots=True)
class _Image:
    """Categories and scores of detections, best first; categories of objects; IoU (D, G); and
    which detections lie by half in a crowd of their category."""

    category: NDArray[np.int64]
    scores: NDArray[np.float64]
    objects: NDArray[np.int64]
    overlap: NDArray[np.float64]
    crowded: NDArray[np.bool_]


def _images(case: Case, iou: str) -> Iterator[_Image]:
    truth = case.truth
    counted = np.isin(truth.category, case.categories)
    objects, found = np.argsort(truth.image, kind="stable"), np.argsort(case.image, kind="stable")
    for image in case.images.tolist():
        own = _slice(objects, truth.image, image)
        own = own[counted[own]]
        dets = _slice(found, case.image, image)
        dets = dets[np.argsort(-case.scores[dets], kind="stable")]
        single, crowd = own[~truth.crowd[own]], own[truth.crowd[own]]
        shapes = _shapes(case, iou, dets)
        crowded = np.zeros(len(dets), bool)
        for i in crowd.tolist():
            share = _iou(shapes, _truths(case, iou, np.array([i])), crowd=True)[:, 0]
            crowded |= (share > _RIGHT) & (case.category[dets] == truth.category[i])
        overlap = _iou(shapes, _truths(case, iou, single), crowd=False)
        yield _Image(
            case.category[dets], case.scores[dets], truth.category[single], overlap, crowded
        )


def _slice(order: NDArray[np.int64], values: NDArray[np.int64], one: int) -> NDArray[np.int64]:
    low, high = np.searchsorted(values, (one, one + 1), sorter=order)
    return order[low:high]


def _shapes(case: Case, iou: str, which: NDArray[np.int64]) -> list[object]:
    if iou == "bbox" or case.masks is None:
        return [*case.boxes[which].tolist()]
    size = case.truth.sizes[case.image[which[:1]]].tolist()
    return [{"size": size[0], "counts": case.masks.text(i)} for i in which.tolist()]


def _truths(case: Case, iou: str, which: NDArray[np.int64]) -> list[object]:
    if iou == "bbox" or case.masks is None:
        return [*case.truth.boxes[which].tolist()]
    from segcli.annotations.outlines import to_rle

    shapes: list[object] = []
    for i in which.tolist():
        outline, size = case.truth.outlines[i], case.truth.sizes[case.truth.image[i]].tolist()
        assert outline is not None, "masks are read when they are compared"
        shapes.append({"size": size, "counts": to_rle(outline, *size)})
    return shapes


def _iou(found: list[object], objects: list[object], *, crowd: bool) -> NDArray[np.float64]:
    if not found or not objects:
        return np.zeros((len(found), len(objects)))
    both = (np.array(one) if isinstance(one[0], list) else one for one in (found, objects))
    result: NDArray[np.float64] = coco.iou(*both, [int(crowd)] * len(objects))
    return result


def _judge(image: _Image, found: _Found, most: int) -> None:
    """Match the detections of one image, best score first, and name the kind of each error."""
    for category in image.objects.tolist():
        found.objects[category] += 1
    overlap, category = image.overlap[:most], image.category[:most]
    same = overlap * (category[:, None] == image.objects[None, :])
    other = overlap * (category[:, None] != image.objects[None, :])
    free, used = same.copy(), np.zeros(len(image.objects), bool)
    right = np.zeros(len(category), bool)
    for i in range(len(category)) if len(image.objects) else ():
        best = int(free[i].argmax())
        if free[i, best] >= _RIGHT:
            right[i] = used[best] = True
            free[:, best] = 0
    usable = used.copy()
    for i, own in enumerate(category.tolist()):
        score = float(image.scores[i])
        if right[i] or not image.crowded[i]:
            found.points.append((own, (score, bool(right[i]))))
        if right[i]:
            found.right.append((own, score))
            continue
        kind, at = _kind(same[i], other[i], overlap[i], used)
        error = _Error(kind, None if image.crowded[i] else (own, (score, False)))
        if at is not None and not usable[at]:
            usable[at] = True  # the first is the best: it alone is repaired, the others go
            error.after = int(image.objects[at]), score
        found.errors.append(error)
    found.missed += image.objects[~usable].tolist()


def _kind(
    same: NDArray[np.float64],
    other: NDArray[np.float64],
    overlap: NDArray[np.float64],
    used: NDArray[np.bool_],
) -> tuple[str, int | None]:
    """The kind of an error, and the object that its repair would find."""
    if not len(used):
        return "background", None
    loose = int(same.argmax())
    if _FALSE_BELOW <= same[loose] <= _RIGHT:
        return "localisation", loose
    wrong = int(other.argmax())
    if other[wrong] >= _RIGHT:
        return "classification", wrong
    if (same * used).max() >= _RIGHT:
        return "duplicate", None
    return ("background" if overlap.max() <= _FALSE_BELOW else "both"), None


def _ap50(found: _Found, repaired: str | None) -> float:
    """The mean AP over the categories with objects or detections, in points."""
    points: dict[int, list[_Point]] = defaultdict(list)
    objects = defaultdict(int, found.objects)
    if repaired is None:
        for category, point in found.points:
            points[category].append(point)
        return _mean(points, objects)
    # As in the published tool, of equal scores the errors come first in what is repaired.
    for error in found.errors:
        if error.kind != repaired:
            if error.before is not None:
                points[error.before[0]].append(error.before[1])
        elif error.after is not None:
            points[error.after[0]].append((error.after[1], True))
    for category, score in found.right:
        points[category].append((score, True))
    if repaired == "missed":
        for category in found.missed:
            objects[category] -= 1
    return _mean(points, objects)


def _mean(points: dict[int, list[_Point]], objects: dict[int, int]) -> float:
    kept = [one for one in {*points, *objects} if points[one] or objects[one]]
    if not kept:  # nothing is asked for and nothing is wrong
        return 100.0 if objects else 0.0
    return sum(_average_precision(points[one], objects[one]) for one in kept) / len(kept)


def _average_precision(points: list[_Point], objects: int) -> float:
    """COCO's mean of the precision at 101 recalls, in points."""
    if not points or not objects:
        return 0.0
    flags = np.array([right for _, right in sorted(points, key=lambda p: -p[0])])
    hits = np.cumsum(flags)
    precision = np.maximum.accumulate((hits / np.arange(1, len(hits) + 1))[::-1])[::-1]
    at = np.searchsorted(hits / objects, np.arange(101) / 100, side="left")
    return float(precision[at[at < len(hits)]].sum()) / 101 * 100
