"""Random samples of objects and background, and the training regions of the second stage."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from segcli.types import Targets
from segcli_blocks.rcnn.matcher import in_crowd, match_regions

POSITIVE_REGIONS = 0.25  # at most, of an image's regions


@dataclass(frozen=True, slots=True)
class Regions:
    """Regions of one image that are learned: `boxes` (n, 4); `labels` (n,), -1 is background;
    `match` (n,) the target of each (meaningless for background); `truth` (n, 4) the boxes of the
    matched targets; `drawn` (n,): objects whose target has an outline; `exhaustive` (C,) or None,
    see Targets."""

    boxes: Tensor
    labels: Tensor
    match: Tensor
    truth: Tensor
    drawn: Tensor
    exhaustive: Tensor | None

    def at(self, chosen: Tensor) -> Regions:
        """The chosen ones: indices or bool (n,)."""
        return Regions(
            self.boxes[chosen],
            self.labels[chosen],
            self.match[chosen],
            self.truth[chosen],
            self.drawn[chosen],
            self.exhaustive,
        )


def sample(positive: Tensor, negative: Tensor, count: int, share: float) -> tuple[Tensor, Tensor]:
    """Indices of at most count * share of bool (n,) positives, and of negatives up to `count`."""
    pos, neg = positive.nonzero()[:, 0], negative.nonzero()[:, 0]
    n_pos = min(len(pos), int(count * share))
    n_neg = min(len(neg), count - n_pos)
    return pos[torch.randperm(len(pos))[:n_pos]], neg[torch.randperm(len(neg))[:n_neg]]


@torch.no_grad()
def region_targets(
    proposals: Tensor, target: Targets, samples: int, *, inclusive: bool = False
) -> Regions:
    """Label one image's proposals (n, 4), the targets' own boxes among them; keep `samples`."""
    boxes = torch.cat((proposals, target.boxes[~target.crowd]))
    regions = matched_regions(boxes, target, inclusive=inclusive)
    background = (regions.labels < 0) & ~in_crowd(boxes, target)
    pos, neg = sample(regions.labels >= 0, background, samples, POSITIVE_REGIONS)
    return regions.at(torch.cat((pos, neg)))


@torch.no_grad()
def matched_regions(
    boxes: Tensor, target: Targets, *, least: float = 0.5, inclusive: bool = False
) -> Regions:
    """All boxes (n, 4) of one image with their labels."""
    match, labels = match_regions(boxes, target, least=least, inclusive=inclusive)
    truth = target.boxes[~target.crowd]
    matched = truth[match] if len(truth) else boxes
    drawn = labels >= 0
    if target.outlined is not None and len(truth):
        drawn = drawn & target.outlined[~target.crowd][match]
    return Regions(boxes, labels, match, matched, drawn, target.exhaustive)
