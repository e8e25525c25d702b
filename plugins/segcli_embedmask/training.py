"""What EmbedMask learns from: assignment, one proposal per object, and the losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import box_iou

from segcli.types import Targets
from segcli_blocks import fcos
from segcli_blocks.losses import Overlap, lovasz_hinge

MASK_WEIGHT = 0.5
_LEAST, _MOST = 1e-9, 1 - 2**-24  # probabilities as logits; the largest float32 below 1


@dataclass(frozen=True, slots=True)
class Options:
    """The choices of the authors' configuration; the defaults are theirs."""

    radius: float | None = 1.5  # strides around an object's centre, None: its whole box
    in_mask: bool = True  # only locations on the object learn it
    overlap: Overlap = "giou"
    padding: float | None = None  # mask loss within the box, this share of its size wider


@dataclass(frozen=True, slots=True)
class Truth:
    """One image's targets without crowds: `boxes` (T, 4) with the last pixel included, `labels`
    (T,), `masks` bool (T, H/4, W/4), and `match` (L,), the target of each location or -1."""

    boxes: Tensor
    labels: Tensor
    masks: Tensor
    match: Tensor


def truth_of(target: Targets, points: fcos.Points, options: Options) -> Truth:
    """Assign an image's targets to locations."""
    single = ~target.crowd
    masks = target.masks[single]
    boxes = target.boxes[single] - target.boxes.new_tensor([0, 0, 1, 1])
    sides = boxes[:, 2:] - boxes[:, :2]
    match = fcos.match(
        points,
        boxes,
        (sides + 1).prod(1),
        centres=(boxes[:, :2] + boxes[:, 2:]) / 2,
        radius=options.radius,
        masks=masks if options.in_mask else None,
    )
    return Truth(boxes, target.labels[single], quarter(masks), match)


def quarter(masks: Tensor) -> Tensor:
    """bool (T, H, W) -> bool (T, H/4, W/4): set where a cell's inner 2 x 2 px touch the mask."""
    inner = [masks[:, i::4, j::4] for i in (1, 2) for j in (1, 2)]
    return inner[0] | inner[1] | inner[2] | inner[3]


def best_proposals(distances: Tensor, points: fcos.Points, truth: Truth) -> Tensor:
    """Per target the location (T,) that learns it and boxes it best, -1 where none learns it.

    `distances` (L, 4) in strides, without gradient. IoU counts the last pixel in.
    """
    everywhere = torch.arange(len(points.level), device=distances.device)
    boxes = fcos.decode(points, distances, everywhere)
    last = boxes.new_tensor([0, 0, 1, 1])
    iou: Tensor = box_iou(truth.boxes + last, boxes + last)  # (T, L)
    own = truth.match == torch.arange(len(truth.boxes), device=distances.device)[:, None]
    if not len(iou):
        return truth.labels.new_zeros(0)
    best, index = iou.masked_fill(~own, -1).max(1)
    return torch.where(best < 0, -1, index)


def mask_loss(
    maps: Sequence[Tensor], truths: Sequence[Truth], taken: Sequence[Tensor], options: Options
) -> Tensor:
    """Lovász hinge of each image's log-probabilities (n, H/4, W/4) on its `taken` targets (T,)."""
    total = maps[0].new_zeros(())
    for log_probability, truth, chosen in zip(maps, truths, taken, strict=True):
        if len(log_probability):
            masks, boxes = truth.masks[chosen], truth.boxes[chosen]
            total = total + per_instance(log_probability, masks, boxes, options.padding).mean()
        else:
            total = total + log_probability.sum()  # zero, but every parameter gets its gradient
    return MASK_WEIGHT * total / len(maps)


def per_instance(
    log_probability: Tensor, masks: Tensor, boxes: Tensor, padding: float | None
) -> Tensor:
    """Lovász hinge (n,) of log-probabilities (n, h, w), with the boxes (n, 4) for the padding."""
    logits = logits_of(log_probability.exp())
    if padding is not None:
        near = near_boxes(boxes / 4, masks.shape[-2:], padding)
        logits, masks = logits.masked_fill(~near, -torch.inf), masks & near
    return lovasz_hinge(logits.flatten(1), masks.flatten(1))


def logits_of(probability: Tensor) -> Tensor:
    """Finite logits: a probability of exactly 1 on background shall not make the loss infinite."""
    return probability.clamp(_LEAST, _MOST).logit()


def near_boxes(boxes: Tensor, shape: Sequence[int], padding: float) -> Tensor:
    """bool (n, h, w): the cells within boxes (n, 4), in cells, widened by a share of their size."""
    low, high = boxes[:, :2], boxes[:, 2:]
    wider = padding * (high - low) + 1
    limit = boxes.new_tensor([shape[1] - 1, shape[0] - 1])
    low, high = (low - wider).clamp(min=0), torch.minimum(high + wider, limit)
    x = torch.arange(shape[1], device=boxes.device)
    y = torch.arange(shape[0], device=boxes.device)[:, None]
    low, high = low[..., None, None], high[..., None, None]
    return (x >= low[:, 0]) & (x < high[:, 0]) & (y >= low[:, 1]) & (y < high[:, 1])
