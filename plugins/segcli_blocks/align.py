"""RoIAlign as weighted sums of rows: the channels of a map's cell are adjacent in memory.

torchvision's kernel for processors is serial, float32 only, and walks a map once per channel. Here
a bin is one bag of cells with weights, and torch's embedding_bag, which is vectorised, threaded and
takes bfloat16, adds them up: a tenth of the time. Mask R-CNN (He et al. 2017), section 3.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def roi_align_rows(
    features: Tensor,
    rois: Tensor,
    size: int,
    scale: float,
    *,
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    """torchvision's `roi_align` of maps (B, C, H, W) in channels-last memory, for any float dtype.

    `rois` f32 (N, 5): image, xyxy; `scale`: cells of the map per px; `sampling_ratio` >= 1.
    Returns (N, C, size, size) in channels-last memory, of the dtype of `features`.
    """
    _, channels, height, width = features.shape
    box = rois[:, 1:] * scale - (0.5 if aligned else 0.0)
    y, y_weight = _taps(box[:, 1], box[:, 3], size, height, sampling_ratio, aligned)
    x, x_weight = _taps(box[:, 0], box[:, 2], size, width, sampling_ratio, aligned)
    line = rois[:, 0].int()[:, None, None] * height + y  # (N, size, taps)
    cell = line[:, :, None, :, None] * width + x[:, None, :, None, :]
    weight = y_weight[:, :, None, :, None] * x_weight[:, None, :, None, :]
    bags = (len(rois) * size * size, y.shape[2] * x.shape[2])
    pooled = F.embedding_bag(
        cell.view(bags),
        features.permute(0, 2, 3, 1).reshape(-1, channels),  # a view of channels-last memory
        mode="sum",
        per_sample_weights=weight.view(bags).to(features.dtype),
    )
    return pooled.view(len(rois), size, size, channels).permute(0, 3, 1, 2)


def _taps(
    low: Tensor, high: Tensor, size: int, cells: int, samples: int, aligned: bool
) -> tuple[Tensor, Tensor]:
    """What each of `size` bins of an axis reads: int32 and f32 (N, size, 2 * samples).

    Positions are in cells, their centres at whole numbers. The weights of a bin sum to 1, less
    what is farther than one cell outside of the map.
    """
    span = high - low
    if not aligned:
        span = span.clamp(min=1.0)
    step = torch.arange(size * samples, dtype=torch.float32, device=low.device) + 0.5
    at = low[:, None] + step * (span / (size * samples))[:, None]
    inside = (at >= -1) & (at <= cells)
    at = at.clamp(0, cells - 1)
    first = at.int()  # towards zero
    part = at - first
    second = (first + 1).clamp(max=cells - 1)
    share = inside.float() / samples
    index = torch.stack((first, second), -1).view(len(low), size, 2 * samples)
    weight = torch.stack(((1 - part) * share, part * share), -1)
    return index, weight.view(len(low), size, 2 * samples)
