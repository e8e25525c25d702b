"""From levels to objects: cut, clean, label, grow back (the authors' post-processing), and their
windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from segcli.types import Instances, Size
from segcli_blocks import regions
from segcli_blocks.segmenter import Selection
from segcli_blocks.windows import Windows

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


@dataclass(frozen=True, slots=True)
class Objects:
    """A map of `ids` i64 (H, W), 1..N, 0 where none; each one's score, label and box in px."""

    ids: Tensor
    scores: Tensor
    labels: Tensor
    boxes: Tensor

    def of(self, content: Size, selection: Selection) -> Instances:
        """Those that are asked for, best first, each in a window of single px."""
        seen = (self.boxes[:, 2] > 0).nonzero()[:, 0]
        best = seen[selection.best(self.scores[seen])]
        ids = self.ids[: content[0], : content[1]]
        boxes = self.boxes[best].minimum(best.new_tensor([*content[::-1], *content[::-1]]))
        windows = Windows.around(boxes, content)
        return Instances(
            scores=self.scores[best],
            labels=self.labels[best],
            boxes=None,
            fields=(windows.of(ids) == best[:, None, None] + 1).float(),
            extents=windows.extents(1),
        )


def classes_of(logits: Tensor, size: Size) -> tuple[Tensor, Tensor]:
    """Of one image's logits (C + 1, h, w): the class i64 of every px of `size`, and how probable it
    is. Only classes that some cell has are enlarged."""
    probability = logits.softmax(0)
    present = probability.argmax(0).unique()
    large = F.interpolate(probability[present][None], size, mode="bilinear", align_corners=False)
    certain, which = large[0].max(0)
    return present[which], certain
