"""Bilinear upsampling that keeps the first sample where it is."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def aligned_bilinear(x: Tensor, factor: int) -> Tensor:
    """(B, C, h, w) -> (B, C, h * factor, w * factor), as CondInst upsamples.

    Output p samples the input at max(p - factor // 2, 0) / factor, the edge repeated: sample i of
    the input stands at output i * factor + factor // 2.
    """
    if factor == 1:
        return x
    h, w = x.shape[-2:]
    x = F.pad(x, (0, 1, 0, 1), mode="replicate")
    x = F.interpolate(x, size=(factor * h + 1, factor * w + 1), mode="bilinear", align_corners=True)
    half = factor // 2
    x = F.pad(x, (half, 0, half, 0), mode="replicate")
    return x[..., : factor * h, : factor * w]
