"""Training targets of the stages of Hybrid Task Cascade."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from segcli.types import Targets
from segcli_blocks.rcnn.box_coder import overlaps
from segcli_blocks.rcnn.matcher import in_crowd, match_regions
from segcli_blocks.rcnn.sampler import POSITIVE_REGIONS, Regions, sample


@torch.no_grad()
def stage_regions(
    boxes: Tensor, target: Targets, *, least: float, samples: int
) -> tuple[Regions, Tensor]:
    """At most `samples` of an image's true boxes and `boxes` (n, 4), objects first, labelled by an
    IoU of at least `least`; and which of them are true boxes."""
    truth, names = target.boxes[~target.crowd], target.labels[~target.crowd]
    every = torch.cat((truth, boxes))
    match, labels = match_regions(every, target, least=least, inclusive=True)
    if len(truth):
        _claim_best(match, labels, overlaps(truth, every, inclusive=True), names, least)
        match[: len(truth)] = torch.arange(len(truth), device=match.device)
        labels[: len(truth)] = names
    background = (labels < 0) & ~in_crowd(every, target)
    pos, neg = sample(labels >= 0, background, samples, POSITIVE_REGIONS)
    chosen = torch.cat((pos.sort().values, neg.sort().values))
    drawn = labels >= 0
    if target.outlined is not None and len(truth):
        drawn = drawn & target.outlined[~target.crowd][match]
    regions = Regions(
        every, labels, match, truth[match] if len(truth) else every, drawn, target.exhaustive
    )
    return regions.at(chosen), chosen < len(truth)


def _claim_best(match: Tensor, labels: Tensor, iou: Tensor, names: Tensor, least: float) -> None:
    """Every object takes the boxes that fit it best, also where they fit another object better.

    `iou`: (T, T + n), the first T the true boxes themselves, which do not compete.
    """
    count = len(iou)
    for index, of in enumerate(iou[:, count:]):
        if len(of) and of.max() >= least:
            best = (of == of.max()).nonzero()[:, 0] + count
            match[best], labels[best] = index, names[index]


def resized_masks(positive: Sequence[Regions], targets: Sequence[Targets], size: int) -> Tensor:
    """The true masks (N, size, size), zeros and ones, in whole px of the regions.

    They are resized as OpenCV resizes bytes: with weights of 11 bits and truncated sums, so that a
    few cells of about 1/2 to 0.7 become zeros.
    """
    found = [targets[0].boxes.new_zeros((0, size, size))]
    for regions, target in zip(positive, targets, strict=True):
        if len(regions.boxes):
            masks = target.masks[~target.crowd]
            h, w = masks.shape[-2:]
            limit = regions.boxes.new_tensor([w - 1, h - 1, w - 1, h - 1])
            corners = regions.boxes.clamp(min=0).minimum(limit).long()
            found.append(_resized(masks, regions.match, corners, size))
    return torch.cat(found)


def _resized(masks: Tensor, match: Tensor, corners: Tensor, size: int) -> Tensor:
    """Of masks (T, H, W) the ones `match` (N,), between corners (N, 4), the last px included."""
    x0, y0, x1, y1 = corners.unbind(1)
    columns, x_weights = _positions(x0, x1, size)
    rows, y_weights = _positions(y0, y1, size)
    sums = torch.full((), 2, device=masks.device)
    for row, y_weight in zip(rows, y_weights, strict=True):
        line = torch.zeros((), dtype=torch.long, device=masks.device)
        for column, x_weight in zip(columns, x_weights, strict=True):
            cells = masks[match[:, None, None], row[:, :, None], column[:, None]]
            line = line + x_weight[:, None] * cells
        sums = sums + ((y_weight[:, :, None] * (line >> 4)) >> 16)
    return (sums >> 2).float()


def _positions(
    first: Tensor, last: Tensor, size: int
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Of each of `size` cells over the px from `first` to `last` (N,): the two px between which its
    centre lies, and their weights of 11 bits; each (N, size)."""
    length = (last - first + 1).clamp(min=1)[:, None]
    cells = torch.arange(size, device=first.device)
    place = (cells + 0.5) * (length / size).float() - 0.5
    lower = place.floor()
    share = place - lower
    outside = (lower < 0) | (lower >= length - 1)
    lower = lower.long().clamp(min=0).minimum(length - 1)
    share = share.masked_fill(outside, 0)
    upper = (lower + 1).minimum(length - 1)
    weights = (2048 * (1 - share)).round().long(), (2048 * share).round().long()
    return (lower + first[:, None], upper + first[:, None]), weights
