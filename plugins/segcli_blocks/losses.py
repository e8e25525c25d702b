"""Losses that several families share; the focal loss is torchvision's."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

Overlap = Literal["giou", "iou", "linear_iou"]


def focal(logits: Tensor, wanted: Tensor) -> Tensor:
    """Lin et al. 2017 with alpha 0.25 and gamma 2, elementwise; `wanted` is 0 or 1."""
    loss: Tensor = sigmoid_focal_loss(logits, wanted.to(logits.dtype), alpha=0.25, gamma=2.0)
    return loss


def focal_sum(logits: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
    """The focal loss of class logits (..., C), summed where `counts` bool (..., C); the class that
    is right is that of `labels` i64 (...), none where -1."""
    positive = labels >= 0
    wanted = torch.zeros_like(logits)
    wanted[positive, labels[positive]] = 1
    return torch.where(counts, focal(logits, wanted), 0.0).sum()


def box_overlap(predicted: Tensor, wanted: Tensor, kind: Overlap = "giou") -> Tensor:
    """Loss (n,) of distances (n, 4) to left, top, right and bottom from one point, all >= 0.

    As FCOS has it: I and U are intersection and union, iou = (I + 1) / (U + 1), and
    "giou" = 1 - (iou - (A - U) / A) with the enclosing area A; "iou" is -log, "linear_iou" 1 - iou.
    """
    smaller, larger = torch.minimum(predicted, wanted), torch.maximum(predicted, wanted)
    shared = _area(smaller)
    union = _area(predicted) + _area(wanted) - shared
    iou = (shared + 1) / (union + 1)
    if kind == "iou":
        return -iou.log()
    if kind == "linear_iou":
        return 1 - iou
    around = _area(larger) + 1e-7
    return 1 - (iou - (around - union) / around)


def _area(ltrb: Tensor) -> Tensor:
    return (ltrb[:, 0] + ltrb[:, 2]) * (ltrb[:, 1] + ltrb[:, 3])


def dice(probability: Tensor, wanted: Tensor, eps: float) -> Tensor:
    """(n, ...) -> (n,): 1 - 2 sum(p t) / (sum(p^2) + sum(t^2) + eps), Milletari et al. 2016."""
    p, t = probability.flatten(1), wanted.flatten(1).to(probability.dtype)
    return 1 - 2 * (p * t).sum(1) / ((p * p).sum(1) + (t * t).sum(1) + eps)


def lovasz_hinge(logits: Tensor, wanted: Tensor) -> Tensor:
    """The convex surrogate of 1 - IoU (Berman et al. 2018, algorithm 1), (n, P) -> (n,).

    `wanted` (n, P) is bool; a mask without foreground is penalised by its largest error. Entries
    with logit -inf and no wanted count nothing, so that they can stand for left-out pixels.
    """
    sign = wanted.to(logits.dtype) * 2 - 1
    errors, order = (1 - logits * sign).sort(dim=1, descending=True)
    truth = wanted.gather(1, order).to(logits.dtype)
    missed = truth.sum(1, keepdim=True) - truth.cumsum(1)
    jaccard = 1 - missed / (truth.sum(1, keepdim=True) + (1 - truth).cumsum(1))
    weight = torch.cat((jaccard[:, :1], jaccard[:, 1:] - jaccard[:, :-1]), 1)
    return (errors.relu() * weight).sum(1)
