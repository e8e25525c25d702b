"""Heads that see a region on all levels of the pyramid (Liu et al. 2018, sections 3.2 and 3.3).

Features of regions are (L, N, width, s, s): L levels, finest first.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segcli_blocks.rcnn.roi_pool import Pooler, rois_of
from segcli_blocks.towers import init_relu
from segcli_panet.backbone import convolution

LEVELS = 4


class AllLevels(Pooler):
    """Adaptive feature pooling: RoIAlign from every level, whatever the size of the region."""

    def forward(self, maps: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
        """Maps of strides 4, 8, ...; boxes (n_b, 4) canvas px per image -> (L, N, width, s, s)."""
        rois = rois_of(boxes)
        return torch.stack([self.align(m, rois, 0.25 / 2**i) for i, m in enumerate(maps)])


class Fused(nn.Module):
    """A convolution for each level, and the largest of their results."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(_shared(width, width, groups) for _ in range(LEVELS))

    def forward(self, features: Tensor) -> Tensor:
        """(L, N, width, s, s) -> (N, width, s, s)."""
        largest = self.levels[0](features[0])
        for level, feature in zip(list(self.levels)[1:], features[1:], strict=True):
            largest = torch.maximum(largest, level(feature))
        return largest


class BoxHead(nn.Module):
    """Features (L, N, width, 7, 7) to (N, hidden): four convolutions, a fully connected layer."""

    def __init__(self, width: int, hidden: int, groups: int) -> None:
        super().__init__()
        self.fused = Fused(width, groups)
        self.convs = nn.Sequential(*(_shared(width, width, groups) for _ in range(3)))
        self.fc = nn.Linear(width * 7 * 7, hidden)

    def forward(self, features: Tensor) -> Tensor:
        return F.relu(self.fc(self.convs(self.fused(features)).flatten(1)))


class MaskHead(nn.Module):
    """Features (L, N, width, 14, 14) to mask logits (N, K, 28, 28): a convolutional path for each
    class, plus a fully connected one that all classes share (section 3.3)."""

    def __init__(self, width: int, positions: int, groups: int, *, side: int = 14) -> None:
        super().__init__()
        self.fused = Fused(width, groups)
        self.convs = nn.Sequential(*(_shared(width, width, groups) for _ in range(2)))
        self.conv4 = _shared(width, width, groups)
        self.upconv = nn.ConvTranspose2d(width, width, 2, 2)
        self.classify = nn.Conv2d(width, positions, 1)
        self.conv4_fc = _shared(width, width, groups)
        self.conv5_fc = _shared(width, width // 2, groups)
        self.fc = nn.Linear(width // 2 * side * side, (2 * side) ** 2)
        self.side = 2 * side
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)

    def forward(self, features: Tensor) -> Tensor:
        shared = self.convs(self.fused(features))
        by_class: Tensor = self.classify(F.relu(self.upconv(self.conv4(shared))))
        return by_class + self.whole(shared)[:, None]

    def whole(self, shared: Tensor) -> Tensor:
        """The fully connected path: (N, 28, 28), at least 0."""
        x = self.conv5_fc(self.conv4_fc(shared)).flatten(1)
        return F.relu(self.fc(x)).unflatten(1, (self.side, self.side))


def _shared(inputs: int, outputs: int, groups: int) -> nn.Sequential:
    block = convolution(inputs, outputs, groups, bias=False)
    init_relu(block)
    return block
