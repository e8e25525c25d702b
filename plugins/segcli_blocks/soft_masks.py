"""Soft masks, computed by convolutions with weights of each object, and their confidence."""

from __future__ import annotations

import torch
from torch import Tensor


def dynamic_conv(kernels: Tensor, features: Tensor) -> Tensor:
    """Kernels (n, D) of n objects, as 1x1 convolutions of the features (D, h, w) of their image:
    (n, h, w), in the type of the features, for autocast would copy all of them."""
    d, h, w = features.shape
    with torch.autocast(features.device.type, enabled=False):
        drawn: Tensor = kernels.to(features.dtype) @ features.reshape(d, h * w)
    return drawn.view(-1, h, w)


def mean_inside(values: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """Of values (n, h, w), or (h, w) for all, the mean (n,) where `inside` bool (n, h, w); and how
    many cells (n,) that is: where none, the mean is 0."""
    area = inside.sum((1, 2))
    return (values * inside).sum((1, 2)) / area.clamp(min=1), area
