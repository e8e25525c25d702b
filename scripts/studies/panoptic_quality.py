"""Panoptic quality (Kirillov et al. 2019) of label maps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.integer]


class Tally:
    """Counts what matches at an overlap above 1/2, class by class, image after image."""

    def __init__(self, classes: int) -> None:
        self.overlap = np.zeros(classes)
        self.matched, self.missed, self.wrong = (np.zeros(classes, np.int64) for _ in range(3))

    def add(self, found: Labels, found_classes: Labels, truth: Labels, classes: Labels) -> None:
        """Maps (h, w) of objects numbered from 1, 0 where none, and the class of each object.
        Objects without a px count nothing."""
        shape = len(found_classes) + 1, len(classes) + 1
        cells = found.astype(np.int64).ravel() * shape[1] + truth.ravel()
        shared = np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape)
        found_area, area = shared.sum(1)[1:], shared.sum(0)[1:]
        shared = shared[1:, 1:]
        iou = shared / np.maximum(found_area[:, None] + area - shared, 1)
        iou[found_classes[:, None] != classes] = 0
        hit = iou > 0.5  # at most one of each row and column
        for c in range(len(self.overlap)):
            own, ours = found_classes == c, classes == c
            self.overlap[c] += iou[hit & own[:, None]].sum()
            matched = int(hit[own].sum())
            self.matched[c] += matched
            self.wrong[c] += int((found_area[own] > 0).sum()) - matched
            self.missed[c] += int((area[ours] > 0).sum()) - matched

    def quality(self) -> float:
        """Mean over the classes that were there or were found."""
        size = self.matched + 0.5 * self.wrong + 0.5 * self.missed
        seen = size > 0
        return float((self.overlap[seen] / size[seen]).mean()) if seen.any() else 0.0
