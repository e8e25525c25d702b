"""Training targets of EmbedMask: assignment, and one proposal per object."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from segcli.types import Targets
from segcli_blocks.boxes import iou
from segcli_blocks.fcos import Points, decode
from segcli_blocks.fcos_losses import Assigned, match
from segcli_blocks.losses import Overlap
from segcli_blocks.targets import without_crowds


@dataclass(frozen=True, slots=True)
class Learning:
    """The choices of the authors' configuration; the defaults are theirs."""

    radius: float | None = 1.5  # strides around an object's centre, None: its whole box
    in_mask: bool = True  # only locations on the object learn it
    overlap: Overlap = "giou"
    padding: float | None = None  # mask loss within the box, this share of its size wider


def truth_of(target: Targets, points: Points, options: Learning) -> Assigned:
    """Assign an image's targets to locations; the boxes end with their last pixel."""
    single = without_crowds(target)
    boxes = single.boxes - single.boxes.new_tensor([0, 0, 1, 1])
    found = match(
        points,
        boxes,
        (boxes[:, 2:] - boxes[:, :2] + 1).prod(1),
        centres=(boxes[:, :2] + boxes[:, 2:]) / 2,
        radius=options.radius,
        masks=single.masks if options.in_mask else None,
    )
    return Assigned(boxes, single.labels, quarter(single.masks), found)


def quarter(masks: Tensor) -> Tensor:
    """bool (T, H, W) -> bool (T, H/4, W/4): set where a cell's inner 2 x 2 px touch the mask."""
    inner = [masks[:, i::4, j::4] for i in (1, 2) for j in (1, 2)]
    return inner[0] | inner[1] | inner[2] | inner[3]


def best_proposals(distances: Tensor, points: Points, truth: Assigned) -> Tensor:
    """Per target the location (T,) that learns it and boxes it best, -1 where none learns it.

    `distances` (L, 4) in strides, without gradient. IoU counts the last pixel in.
    """
    if not len(truth.boxes):
        return truth.labels.new_zeros(0)
    everywhere = torch.arange(len(points.level), device=distances.device)
    boxes = decode(points, distances, everywhere)
    last = boxes.new_tensor([0, 0, 1, 1])
    own = truth.match == torch.arange(len(truth.boxes), device=distances.device)[:, None]
    overlap = iou(truth.boxes + last, boxes + last)  # (T, L)
    best, index = overlap.masked_fill(~own, -1).max(1)
    return torch.where(best < 0, -1, index)
