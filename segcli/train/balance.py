"""How often each image is shown, and how boxes are used by models that need outlines."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from segcli.train.data import AnnotatedImage


def ignore_boxes(rows: Sequence[AnnotatedImage]) -> list[AnnotatedImage]:
    """The rows with box-only objects turned into regions to ignore, for models that learn only from
    outlines: these regions are trained neither as object nor as background."""
    return [
        replace(row, annotations=tuple(replace(a, crowd=a.crowd or a.box is not None)
                                       for a in row.annotations))
        for row in rows
    ]  # fmt: skip


def repeat_rare(rows: Sequence[AnnotatedImage], threshold: float) -> list[AnnotatedImage]:
    """Repeat-factor sampling (Gupta et al. 2019, LVIS, section 5.1): an image is shown
    max(1, sqrt(threshold / f)) times as often, f the share of images that show its rarest category.
    """
    kinds = [{a.label for a in row.annotations if not a.crowd} for row in rows]
    total = sum(row.weight for row in rows)
    share: dict[int, float] = defaultdict(float)
    for row, labels in zip(rows, kinds, strict=True):
        for label in labels:
            share[label] += row.weight / total
    factor = {label: max(1.0, math.sqrt(threshold / f)) for label, f in share.items()}
    return [
        replace(row, weight=row.weight * max((factor[k] for k in labels), default=1.0))
        for row, labels in zip(rows, kinds, strict=True)
    ]
