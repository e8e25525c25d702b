"""RF-DETR's losses: classes weighed by the overlap of boxes, boxes, and masks at points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_iou, generalized_box_iou_loss

from segcli_blocks.set_prediction import at_points, mask_losses, uncertain_points
from segcli_rfdetr.targets import CELLS, Truth, corners, counts, learnt, match, objects

# The authors' weights.
CLASS, L1, GIOU, ENTROPY, DICE = 1.0, 5.0, 2.0, 5.0, 5.0
ALPHA, GAMMA = 0.25, 2.0
LEAST = 0.01  # what a class is taught at least, however badly its box lies


@dataclass(frozen=True, slots=True)
class Layer:
    """What one layer says of a batch: `logits` (B, Q, L), `boxes` (B, Q, 4) cxcywh in [0, 1] of the
    content, `masks` (B, Q, h, w) logits; Q queries of all groups."""

    logits: Tensor
    boxes: Tensor
    masks: Tensor


Pairs = tuple[Tensor, Tensor]  # queries and targets i64 (n,) of an image


def losses_of(
    layers: Sequence[Layer], truths: Sequence[Truth], *, groups: int
) -> dict[str, Tensor]:
    """The weighted losses, each summed over the layers, per target and group."""
    total = max(objects(truths) * groups, 1)
    sums: dict[str, Tensor] = {}
    for layer in layers:
        pairs = [
            match(logits, boxes, masks, truth, groups=groups)
            for logits, boxes, masks, truth in zip(
                layer.logits, layer.boxes, layer.masks, truths, strict=True
            )
        ]
        for name, loss in layer_losses(layer, truths, pairs).items():
            sums[name] = sums.get(name, 0) + loss / total
    return sums


def layer_losses(
    layer: Layer, truths: Sequence[Truth], pairs: Sequence[Pairs]
) -> dict[str, Tensor]:
    """The weighted losses of one layer, summed over queries and pairs."""
    classes = [
        class_loss(logits.float(), boxes.float(), truth, pair)
        for logits, boxes, truth, pair in zip(layer.logits, layer.boxes, truths, pairs, strict=True)
    ]
    found = torch.cat([boxes[q] for boxes, (q, _) in zip(layer.boxes, pairs, strict=True)]).float()
    wanted = torch.cat([t.boxes[index] for t, (_, index) in zip(truths, pairs, strict=True)])
    entropy, dice = point_losses(layer.masks, truths, pairs)
    return {
        "class": CLASS * torch.stack(classes).sum(),
        "box": L1 * F.l1_loss(found, wanted, reduction="sum"),
        "giou": GIOU * generalized_box_iou_loss(corners(found), corners(wanted), reduction="sum"),
        "mask": ENTROPY * entropy,
        "dice": DICE * dice,
    }


def class_loss(logits: Tensor, boxes: Tensor, truth: Truth, pair: Pairs) -> Tensor:
    """Of one image, logits (Q, L): a query that has a target is taught the geometric mean of its
    own probability and the IoU of its box; all others are pressed down, more the surer they are."""
    queries, targets = pair
    p = logits.sigmoid()
    label = truth.labels[targets]
    overlap = box_iou(corners(boxes[queries]), corners(truth.boxes[targets])).diagonal()
    quality = (p[queries, label] ** ALPHA * overlap ** (1 - ALPHA)).clamp(min=LEAST).detach()
    right, wrong = torch.zeros_like(p), p**GAMMA
    right[queries, label] = quality
    wrong[queries, label] = 1 - quality
    each = -right * F.logsigmoid(logits) - wrong * F.logsigmoid(-logits)
    counted = counts(truth, learnt(truth, queries, targets, len(logits)), boxes.detach())
    return torch.where(counted, each, 0.0).sum()


def point_losses(
    masks: Tensor, truths: Sequence[Truth], pairs: Sequence[Pairs]
) -> tuple[Tensor, Tensor]:
    """Cross entropy and dice of the paired masks (B, Q, h, w) at their uncertain points."""
    logits = torch.cat([m[q] for m, (q, _) in zip(masks, pairs, strict=True)]).float()
    h, w = logits.shape[1:]
    points = uncertain_points(logits, max(h, h * w // CELLS))
    wanted = [
        at_points(truth.masks[index], part, mode="nearest")
        for truth, (_, index), part in zip(
            truths, pairs, points.split([len(q) for q, _ in pairs]), strict=True
        )
    ]
    return mask_losses(at_points(logits, points), torch.cat(wanted))
