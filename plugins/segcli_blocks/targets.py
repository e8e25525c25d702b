"""The rules for crowds, for categories that are not annotated, and for objects that overlap.

Letters: T targets of an image, C categories; H, W px of the canvas, h, w cells.
"""

from __future__ import annotations

import torch
from torch import Tensor

from segcli.types import Targets


def without_crowds(target: Targets) -> Targets:
    """The targets that are single objects."""
    kept = ~target.crowd
    return Targets(
        target.labels[kept],
        target.boxes[kept],
        target.masks[kept],
        target.crowd[kept],
        target.exhaustive,
        None if target.outlined is None else target.outlined[kept],
        None if target.keypoints is None else target.keypoints[kept],
    )


def annotated(target: Targets, classes: int) -> Tensor:
    """bool (C,): the categories of which every object of the image is annotated."""
    if target.exhaustive is None:
        return torch.ones(classes, dtype=torch.bool, device=target.labels.device)
    return target.exhaustive


def crowded(target: Targets, masks: Tensor) -> Tensor:
    """bool (...): where a crowd is, from the image's `masks` (T, ...) at any places."""
    return masks[target.crowd].any(0)


def counted(target: Targets, labels: Tensor, crowd: Tensor, classes: int) -> Tensor:
    """bool (..., C): which class logits are right or wrong at all, where `labels` i64 (...), -1 for
    none, are learnt and crowds lie at bool (...).

    Left out are places in a crowd and categories that are not fully annotated, both only where no
    target is learnt.
    """
    known = ~crowd[..., None] & annotated(target, classes)
    return known | (labels >= 0)[..., None]


def labels_of(labels: Tensor, owner: Tensor) -> Tensor:
    """Of `labels` (T,) those of the targets `owner` i64 (...), -1 where that is -1."""
    if not len(labels):
        return owner
    return labels[owner.clamp(min=0)].masked_fill(owner < 0, -1)


def smallest(inside: Tensor, area: Tensor) -> Tensor:
    """i64 (...): of the targets that a place lies in, bool (T, ...), the one with the least `area`
    (T,); -1 for none."""
    if not len(inside):
        return torch.full(inside.shape[1:], -1, device=inside.device)
    size = area.float().view(-1, *[1] * (inside.dim() - 1)).expand(inside.shape)
    least, which = size.masked_fill(~inside, torch.inf).min(0)
    return which.masked_fill(least.isinf(), -1)


def at_cells(masks: Tensor, stride: int) -> Tensor:
    """Masks (T, H, W) at the middle of every cell of `stride` px: (T, h, w)."""
    return masks[:, stride // 2 :: stride, stride // 2 :: stride]


def mass_centres(masks: Tensor) -> Tensor:
    """bool (T, H, W) -> mean x and y f64 (T, 2) of the px, which count from 0; 0 without any."""
    count = masks.sum((1, 2)).clamp(min=1).double()
    sums = []
    for dim in (1, 2):
        line = masks.sum(dim)
        sums.append((line * torch.arange(line.shape[1], device=masks.device)).sum(1))
    return torch.stack(sums, 1) / count[:, None]
