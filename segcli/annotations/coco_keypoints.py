"""Keypoints in COCO JSON: those of the objects, and the skeletons of the categories."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.annotations.columns import Items, identity, name_of, number
from segcli.errors import UsageError
from segcli.keypoints import Skeleton

Points = NDArray[np.float64]
"""(P, 3): x, y px, and a flag (ground truth) or a score (results)."""

_BROKEN = "invalid keypoints of {} annotations were ignored"


def keypoint_fields(
    items: Items,
    categories: Sequence[Mapping[str, Any]],
    category: NDArray[np.int64],
    compared: bool,
    lenient: bool,
    notes: Counter[str] | None,
) -> dict[str, Any]:
    """The fields of a GroundTruth that are about keypoints; `category` (N,) are indices.

    Those of the objects are read if they are `compared`, and by a `lenient` reader, which counts
    broken ones in `notes`. Raises UsageError for them otherwise.
    """
    skeletons, points = _skeletons(categories), list[Points | None]()
    counts = np.zeros(0, np.int64)
    if compared or lenient:
        points = _points(items, skeletons, category, None if compared else notes)
        counts = _counts(items, points)
    return {"keypoints": points, "keypoint_counts": counts, "skeletons": skeletons}


def _points(
    items: Items,
    skeletons: Sequence[Skeleton | None],
    category: NDArray[np.int64],
    notes: Counter[str] | None,
) -> list[Points | None]:
    """Of each object its keypoints, None without any; x, y and v (0: not annotated, 1: hidden, 2:
    visible). `notes` counts broken ones, which are left out; with None they raise UsageError."""
    found: list[Points | None] = []
    for i, item in enumerate(items):
        given = item.get("keypoints")
        if not given:
            found.append(None)
            continue
        try:
            skeleton = skeletons[category[i]]
            found.append(parsed(given, None if skeleton is None else len(skeleton.names)))
        except UsageError as error:
            if notes is None:
                raise UsageError(f"{name_of(items, i, 'annotation')}: {error}") from None
            notes[_BROKEN] += 1
            found.append(None)
    return found


def parsed(given: Any, count: int | None = None) -> Points:
    """A list x, y, v, x, y, v, ... as (P, 3). Raises UsageError; `count` is P where it is known."""
    values = [number(value) for value in given] if isinstance(given, list) else []
    good = all(type(value) in (int, float) and math.isfinite(value) for value in values)
    if not values or len(values) % 3 or not good:
        raise UsageError('its "keypoints" must be a list of finite numbers x, y, v, x, y, v, ...')
    if count is not None and len(values) != 3 * count:
        raise UsageError(
            f'its "keypoints" has {len(values)} numbers; expected {3 * count}, three for each of '
            f"the {count} keypoints of its category"
        )
    return np.array(values, np.float64).reshape(-1, 3)


def _counts(items: Items, points: Sequence[Points | None]) -> NDArray[np.int64]:
    """Annotated keypoints of each object: `num_keypoints`, or as many as have v > 0."""
    found = np.zeros(len(items), np.int64)
    for i, (item, own) in enumerate(zip(items, points, strict=True)):
        given = identity(item.get("num_keypoints"))
        if isinstance(given, int):
            found[i] = given
        elif own is not None:
            found[i] = np.count_nonzero(own[:, 2] > 0)
    return found


def _skeletons(categories: Sequence[Mapping[str, Any]]) -> tuple[Skeleton | None, ...]:
    """Of each category its keypoints, None without any; pairs of the skeleton that do not fit are
    left out."""
    return tuple(_skeleton(one.get("keypoints"), one) for one in categories)


def _skeleton(names: Any, category: Mapping[str, Any]) -> Skeleton | None:
    if not isinstance(names, list) or not names:
        return None
    count, lines, sigmas = len(names), [], category.get("sigmas")
    for pair in category.get("skeleton") or ():
        ends = [identity(end) for end in pair] if isinstance(pair, list) else []
        if len(ends) == 2 and all(isinstance(end, int) and 1 <= end <= count for end in ends):
            lines.append((int(ends[0] or 0) - 1, int(ends[1] or 0) - 1))  # COCO counts from 1
    known = None
    if isinstance(sigmas, list) and len(sigmas) == count:
        values = [number(one) for one in sigmas]
        if all(type(one) in (int, float) and one > 0 for one in values):
            known = tuple(float(one) for one in values)
    return Skeleton(tuple(map(str, names)), tuple(lines), known)
