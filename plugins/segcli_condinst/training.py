"""What CondInst learns from: assignment around mass centres, and the losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from segcli.types import Targets
from segcli_blocks import fcos
from segcli_blocks.losses import dice, focal

MOST_MASKS = 500  # positive locations of a batch that draw masks


@dataclass(frozen=True, slots=True)
class Truth:
    """One image's targets without crowds: `boxes` (T, 4), `labels` (T,), `masks` bool
    (T, H/4, W/4), and `match` (L,), the target of each location or -1."""

    boxes: Tensor
    labels: Tensor
    masks: Tensor
    match: Tensor


def truth_of(target: Targets, points: fcos.Points) -> Truth:
    """Assign an image's targets to locations."""
    single = ~target.crowd
    boxes, masks = target.boxes[single], target.masks[single]
    sides = boxes[:, 2:] - boxes[:, :2]
    match = fcos.match(points, boxes, sides.prod(1), centres=mass_centres(masks))
    return Truth(boxes, target.labels[single], masks[:, 2::4, 2::4], match)


def mass_centres(masks: Tensor) -> Tensor:
    """bool (T, H, W) -> mean x and y (T, 2) of the pixels, which count from 0."""
    count = masks.sum((1, 2)).clamp(min=1)
    x = torch.arange(masks.shape[2], device=masks.device, dtype=torch.float32)
    y = torch.arange(masks.shape[1], device=masks.device, dtype=torch.float32)
    across = (masks.sum(1) * x).sum(1) / count
    down = (masks.sum(2) * y).sum(1) / count
    return torch.stack((across, down), 1)


def positives(truths: Sequence[Truth]) -> tuple[Tensor, Tensor]:
    """Image and location (n,) of what learns a target; a random MOST_MASKS of them."""
    image, index = torch.stack([t.match for t in truths]).ge(0).nonzero(as_tuple=True)
    if len(image) > MOST_MASKS:
        chosen = torch.randperm(len(image), device=image.device)[:MOST_MASKS].sort().values
        image, index = image[chosen], index[chosen]
    return image, index


def mask_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """Mean dice loss of logits (n, H/4, W/4); zero without any."""
    each = dice(logits.sigmoid(), wanted, 1e-5)
    return each.sum() / max(len(each), 1)


def semantic_loss(logits: Tensor, targets: Sequence[Targets]) -> Tensor:
    """Focal loss of class logits (B, C, h, w) at stride 8: whose mask, the smallest first, a cell
    lies in."""
    classes = logits.shape[1]
    wanted, counts = [], []
    for target in targets:
        masks = target.masks[:, 4::8, 4::8]
        single = ~target.crowd
        labels = _classes_of(target.masks[single], masks[single], target.labels[single])
        onehot = torch.nn.functional.one_hot(labels + 1, classes + 1)[..., 1:]
        known = ~masks[target.crowd].any(0)[..., None].expand_as(onehot)
        if target.exhaustive is not None:
            known = known & target.exhaustive
        wanted.append(onehot)
        counts.append(known | (labels >= 0)[..., None])
    goal = torch.stack(wanted).permute(0, 3, 1, 2)
    each = focal(logits, goal)
    counting = torch.stack(counts).permute(0, 3, 1, 2)
    return torch.where(counting, each, 0.0).sum() / goal.sum().clamp(min=1)


def _classes_of(masks: Tensor, cells: Tensor, labels: Tensor) -> Tensor:
    """i64 (h, w): the label of the smallest mask (T, H, W) that covers each of `cells` (T, h, w);
    -1 for none."""
    if not len(masks):
        return torch.full(cells.shape[1:], -1, device=cells.device)
    area = masks.sum((1, 2)).float()[:, None, None].expand(cells.shape)
    smallest, which = area.masked_fill(~cells, torch.inf).min(0)
    return labels[which].masked_fill(smallest.isinf(), -1)
