"""Boxes xyxy: how they overlap, and those of masks. torchvision has the rest (clipping, areas)."""

from __future__ import annotations

import torch
from torch import Tensor


def intersection(one: Tensor, other: Tensor) -> Tensor:
    """The common area (..., n, m) of each of (..., n, 4) and each of (..., m, 4)."""
    low = torch.maximum(one[..., :, None, :2], other[..., None, :, :2])
    high = torch.minimum(one[..., :, None, 2:], other[..., None, :, 2:])
    return (high - low).clamp(min=0).prod(-1)


def area(boxes: Tensor) -> Tensor:
    """(..., 4) -> (...)."""
    return (boxes[..., 2:] - boxes[..., :2]).prod(-1)


def iou(one: Tensor, other: Tensor) -> Tensor:
    """Intersection over union (..., n, m); torchvision's `box_iou` knows no leading dimensions."""
    shared = intersection(one, other)
    return shared / (area(one)[..., :, None] + area(other)[..., None, :] - shared)


def tight_boxes(masks: Tensor) -> Tensor:
    """The smallest boxes i64 (n, 4) in whole px, the last one excluded, that hold the masks, bool
    (n, h, w); zeros for an empty mask."""
    sides = []
    for flags in (masks.any(1), masks.any(2)):
        length = flags.shape[1]
        place = torch.arange(length, device=flags.device)
        high = torch.where(flags, place + 1, 0).amax(1)
        low = torch.where(flags, place, length).amin(1).minimum(high)
        sides.append((low, high))
    (left, right), (top, bottom) = sides
    return torch.stack((left, top, right, bottom), 1)
