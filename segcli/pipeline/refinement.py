"""Refinement of a model's segments before they become rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from segcli.types import Segment, Size

IOU = 0.5
"""The IoU of two masks above which they show the same object."""


@dataclass(frozen=True, slots=True)
class Refinement:
    """`flip`: the model sees each image mirrored as well, and both answers are merged.
    `class_agnostic`: of masks that overlap, whatever their categories, the best one stays.
    `min_area`: px of the original. `scores`: label -> the least score, where it is not that of the
    run.
    """

    flip: bool = False
    class_agnostic: bool = False
    min_area: int = 0
    scores: Mapping[int, float] = field(default_factory=dict)

    def of_pieces(self) -> Refinement:
        """What is done already with the tiles of an image: their masks may be parts of larger ones,
        so areas and overlaps are judged when they are joined."""
        return replace(self, min_area=0, class_agnostic=False)

    def least_score(self, min_score: float, labels: frozenset[int] | None) -> float:
        """The score from which on the model has to find objects, of `labels` (None: all)."""
        if labels is not None and labels <= self.scores.keys():
            return min(self.scores[label] for label in labels)
        return min(min_score, *self.scores.values()) if self.scores else min_score

    def refined(
        self, views: Sequence[Sequence[Segment]], size: Size, *, min_score: float, max_masks: int
    ) -> list[Segment]:
        """The segments of an image of `size` px, best first, from those in its views."""
        segments = list(views[0])
        if len(views) > 1:
            from segcli.masks.suppression import merge_views

            segments = merge_views(views[0], views[1], size, iou=IOU)
        if len(views) > 1 or self.scores or self.min_area:
            segments = [
                segment
                for segment in segments
                if segment.score >= self.scores.get(segment.label, min_score)
                and segment.area >= self.min_area
            ]
        if self.class_agnostic:
            from segcli.masks.suppression import suppress

            segments = suppress(segments, size, iou=IOU, across_labels=True)
        return segments[:max_masks]

    def facts(self, categories: Sequence[str]) -> dict[str, Any]:
        """What a run states of it: only what is set, so that outputs from before it existed can be
        resumed."""
        facts: dict[str, Any] = {}
        if self.flip:
            facts["tta"] = "flip"
        if self.class_agnostic:
            facts["merge_class_agnostic"] = IOU
        if self.min_area:
            facts["min_area"] = self.min_area
        if self.scores:
            facts["class_scores"] = {categories[i]: self.scores[i] for i in sorted(self.scores)}
        return facts
