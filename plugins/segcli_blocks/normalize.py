"""Normalisation of a batch's pixels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from segcli.types import Batch

# Mean and standard deviation of red, green and blue that published bodies were trained with.
IMAGENET = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # torchvision's weights
SYMMETRIC = (127.5,) * 3, (127.5,) * 3  # TensorFlow's: pixels become -1..1


class Normalize(nn.Module):
    """(pixel - mean) / std in 0..255 RGB; zero beyond each image's content, as padding after it."""

    statistics: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        statistics = torch.tensor([list(mean), list(std)])[..., None, None]  # (2, 3, 1, 1)
        self.register_buffer("statistics", statistics, persistent=False)

    def forward(self, batch: Batch) -> Tensor:
        """uint8 (B, 3, H, W) -> float32, channels last in memory."""
        x = batch.pixels.to(self.statistics.device, torch.float32)
        x.sub_(self.statistics[0]).div_(self.statistics[1])  # in place: x is as large as a map
        for image, (h, w) in zip(x, batch.content_sizes, strict=True):
            image[:, h:] = 0
            image[:, :, w:] = 0
        return x.contiguous(memory_format=torch.channels_last)
