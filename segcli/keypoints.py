"""The keypoints of COCO's people, and what follows from the names of keypoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PERSON: tuple[str, ...] = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee",
    "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
"""The 17 keypoints that COCO annotates of a person, in its order."""

PERSON_SKELETON: tuple[tuple[int, int], ...] = (
    (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8),
    (7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
)  # fmt: skip
"""Pairs of them, counted from 0, that a line connects."""


def mirrored_order(names: Sequence[str]) -> list[int]:
    """For each keypoint the one that takes its place in a mirrored image.

    >>> mirrored_order(("nose", "left_eye", "right_eye"))
    [0, 2, 1]
    """
    place = {name: index for index, name in enumerate(names)}
    return [place.get(_other_side(name), index) for index, name in enumerate(names)]


def _other_side(name: str) -> str:
    for side, other in (("left", "right"), ("right", "left")):
        if side in name:
            return name.replace(side, other)
    return name


@dataclass(frozen=True, slots=True)
class Skeleton:
    """The keypoints of one category: their `names`, and `lines` between pairs of them, counted from
    0. `sigmas` are the tolerances of OKS, None where they are not given."""

    names: tuple[str, ...]
    lines: tuple[tuple[int, int], ...] = ()
    sigmas: tuple[float, ...] | None = None


def recorded(skeletons: Mapping[str, Skeleton]) -> dict[str, Any]:
    """Category -> skeleton as the settings of an output record it."""
    return {
        name: {"names": list(one.names), "skeleton": [list(pair) for pair in one.lines]}
        for name, one in skeletons.items()
    }


def skeletons_of(settings: Mapping[str, Any]) -> dict[str, Skeleton]:
    """Category -> skeleton from the settings of an output; empty where there are no keypoints."""
    return {
        name: Skeleton(tuple(one["names"]), tuple((a, b) for a, b in one["skeleton"]))
        for name, one in (settings.get("keypoints") or {}).items()
    }
