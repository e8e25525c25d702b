"""Levels to objects: cut, clean, label, grow back (the authors' post-processing)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segcli_watershed import regions

_HOLE = 64  # px: smaller holes are filled


@dataclass(frozen=True, slots=True)
class Cut:
    """Px above `level` are the inside of an object; parts of fewer than `smallest` px are not.
    What is left grows back by a square of `grown` px."""

    level: int = 1
    smallest: int = 20
    grown: int = 3


def decode(
    levels: NDArray[np.integer], classes: NDArray[np.integer], cuts: Sequence[Cut]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Objects i64 (h, w) numbered from 1, class after class, 0 where none; and their classes (n,).

    `levels` and `classes` (h, w): class c = 0, 1, ... is cut by `cuts[c]`, any other is background.
    Later objects have the px where several grow; an object that is covered wholly keeps its number.
    """
    objects = np.zeros(levels.shape, dtype=np.int64)
    labels: list[int] = []
    for label, cut in enumerate(cuts):
        own = classes == label
        if not own.any():
            continue
        inside = regions.without_small((levels > cut.level) & own, cut.smallest)
        solid = ~regions.without_small(~inside, _HOLE)
        parts, count = regions.components(solid, diagonal=True)
        parts = regions.dilated(parts, cut.grown)
        objects = np.where(parts > 0, parts + len(labels), objects)
        labels += [label] * count
    return objects, np.array(labels, dtype=np.int64)
