"""Head parts: towers of convolutions, learned scales, coordinate channels, sparse convolutions."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Scale(nn.Module):
    """One learned factor."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


def tower(inputs: int, width: int, depth: int, *, bias: bool = True) -> nn.Sequential:
    """`depth` times a 3x3 convolution, GroupNorm of 32 groups, ReLU; indices 3i, 3i + 1, 3i + 2."""
    layers: list[nn.Module] = []
    for index in range(depth):
        layers += [
            nn.Conv2d(inputs if index == 0 else width, width, 3, padding=1, bias=bias),
            nn.GroupNorm(min(32, width), width),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def init_normal(module: nn.Module, std: float = 0.01) -> None:
    """All convolutions N(0, std), all their biases 0."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.normal_(part.weight, std=std)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def init_relu(module: nn.Module) -> None:
    """For layers before ReLUs: 2d convolutions so that gradients keep their variance (He et al.
    2015), linear layers and 1d convolutions uniform with that of their inputs, all biases 0."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(part, nn.Linear | nn.Conv1d):
            nn.init.kaiming_uniform_(part.weight, a=1)
        else:
            continue
        if part.bias is not None:
            nn.init.zeros_(part.bias)


def prior(conv: nn.Conv2d) -> None:
    """Make a dense classifier start with 0.01 everywhere (Lin et al. 2017, section 4.1)."""
    assert conv.bias is not None
    nn.init.constant_(conv.bias, -math.log(99.0))


def coordinates(features: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, 2, H, W): x and y from -1 (first centre) to 1 (last), for CoordConv."""
    b, _, h, w = features.shape
    x = torch.linspace(-1, 1, w, device=features.device, dtype=features.dtype)
    y = torch.linspace(-1, 1, h, device=features.device, dtype=features.dtype)
    return torch.stack((x.expand(h, w), y[:, None].expand(h, w))).expand(b, 2, h, w)


def patches(features: Tensor, image: Tensor, index: Tensor) -> Tensor:
    """The 3x3 neighbourhoods, zero beyond the map, of n places in maps (B, C, h, w).

    The places are `image` (n,) and `index` (n,) = row * w + column; (n, C * 9), laid out as the
    weights of a convolution are.
    """
    _, channels, _, w = features.shape
    padded = F.pad(features, (1, 1, 1, 1))
    step = torch.arange(3, device=features.device)
    row = (index // w)[:, None, None] + step[:, None]
    column = (index % w)[:, None, None] + step
    found = padded.permute(0, 2, 3, 1)[image[:, None, None], row, column]  # (n, 3, 3, C)
    return found.permute(0, 3, 1, 2).reshape(len(index), channels * 9)


def conv_at(conv: nn.Conv2d, neighbourhoods: Tensor) -> Tensor:
    """What a 3x3 convolution gives at the places of `patches` (n, C * 9): (n, outputs)."""
    return F.linear(neighbourhoods, conv.weight.flatten(1), conv.bias)
