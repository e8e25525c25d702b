"""Mask learning: features shared by all objects, and the masks computed from descriptors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segcli.types import Size
from segcli_blocks.boxes import tight_boxes
from segcli_blocks.soft_masks import mean_inside
from segcli_blocks.towers import coordinates, tower
from segcli_blocks.windows import Windows

CELL = 4  # canvas px of a cell of the masks


class GeneralFeature(nn.Module):
    """P3 to P5 -> B (B, D, 2h, 2w) at stride 4.

    [D]: the levels are upsampled and added at stride 8, four convolutions follow, then the map is
    doubled, its coordinates join it, and a last convolution with GroupNorm gives D channels.
    """

    def __init__(self, inputs: int, width: int, *, depth: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(inputs, width, 1) for _ in range(3))
        self.tower = tower(width, width, depth)
        self.last = nn.Conv2d(width + 2, width, 3, padding=1)
        self.norm = nn.GroupNorm(min(32, width), width)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """P3, P4 and P5 (B, inputs, h, w), (.., h/2, w/2), (.., h/4, w/4)."""
        x = self.lateral[0](maps[0])
        for level in (1, 2):
            coarse = self.lateral[level](maps[level])
            x = x + F.interpolate(coarse, x.shape[-2:], mode="bilinear")
        x = F.interpolate(self.tower(x), scale_factor=2.0, mode="bilinear")
        features: Tensor = self.norm(self.last(torch.cat((x, coordinates(x)), 1)))
        return features


def maskness(logits: Tensor, content: Size) -> tuple[Tensor, Tensor]:
    """Mean probability inside each mask (n,), and how many cells (n,) of the content that is."""
    rows, columns = (-(-side // CELL) for side in content)
    seen = logits[:, :rows, :columns]
    return mean_inside(seen.sigmoid(), seen > 0)


def windows(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (n, h, w) -> fields cut to where they are positive and one cell around, and extents
    xyxy (n, 4) in canvas px."""
    where = Windows.around(tight_boxes(logits > 0), logits.shape[-2:])
    return where.of(logits).float(), where.extents(CELL)
