"""The head: the object at every location, and the embedding of every pixel.

Letters as in model.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from segcli_blocks import fcos
from segcli_blocks.towers import Scale, conv_at, init_normal, tower

PIXELS = 100.0  # px: one unit of the embeddings' two spatial dimensions
PRIOR_DISTANCE = 2.0  # at first, the probability is 1/2 at this distance


class Head(nn.Module):
    """FCOS and the embeddings; `dims` = D, of which the first two are x and y."""

    strides = (8, 16, 32, 64, 128)

    def __init__(
        self, inputs: int, classes: int, *, width: int, depth: int, dims: int = 16
    ) -> None:
        super().__init__()
        levels = len(self.strides)
        self.mask_tower = tower(inputs, width, depth)
        self.pixel_spatial = nn.Conv2d(width, 2, 3, padding=1)
        self.pixel_other = nn.Conv2d(width, dims - 2, 3, padding=1)
        self.proposal_spatial = nn.Conv2d(width, 2, 3, padding=1)
        self.proposal_other = nn.Conv2d(width, dims - 2, 3, padding=1)
        self.proposal_margin = nn.Conv2d(width, dims, 3, padding=1)
        self.margin_scales = nn.ModuleList(Scale() for _ in range(levels))
        self.position_scale = Scale()
        init_normal(self)
        assert self.proposal_margin.bias is not None
        nn.init.constant_(self.proposal_margin.bias, math.log(fixed_margin()))
        self.fcos = fcos.FCOSHead(inputs, classes, width=width, depth=depth, levels=levels)

    def forward(self, maps: Sequence[Tensor]) -> tuple[fcos.Dense, Tensor]:
        """P3..P7 -> the outputs at every location, and the pixel embeddings (B, D, h, w)."""
        return self.fcos(maps), self.pixels(maps[0])

    def pixels(self, finest: Tensor) -> Tensor:
        """P3 (B, inputs, h, w) -> embeddings (B, D, h, w)."""
        u = self.mask_tower(finest)
        xy = fcos.points_of([finest], self.strides[:1], ()).xy.T.reshape(2, *u.shape[-2:])
        spatial = self.pixel_spatial(u).float() + self.position_scale(xy) / PIXELS
        return torch.cat((spatial, self.pixel_other(u).float()), 1)

    def proposals(
        self, dense: fcos.Dense, points: fcos.Points, image: Tensor, index: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Embeddings and margins, each (n, D), of locations `index` (n,) of images `image` (n,)."""
        t = fcos.patches_at(dense, points, image, index)
        position = self.position_scale(points.xy[index]) / PIXELS
        spatial = conv_at(self.proposal_spatial, t).float() + position
        embedding = torch.cat((spatial, conv_at(self.proposal_other, t).float()), 1)
        raw = conv_at(self.proposal_margin, t / 32).float()
        scales = torch.cat(list(self.margin_scales.parameters()))[points.level[index]]
        margin = torch.cat((raw[:, :2] * scales[:, None], raw[:, 2:]), 1).exp()
        return embedding, margin


def fixed_margin() -> float:
    """exp(-margin * PRIOR_DISTANCE^2) = 1/2."""
    return math.log(2) / PRIOR_DISTANCE**2
