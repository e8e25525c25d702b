"""The head that estimates masks' IoU with their objects (Huang et al. 2019, section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segcli_blocks.towers import init_relu


class MaskIoU(nn.Module):
    """The features that the mask was made of, and the mask, to one IoU for each class position.

    Four convolutions, the last of stride 2, and three fully connected layers. The output is not
    limited to 0..1. `convolutions`: others, initialised, that take width + 1 channels to width and
    halve the side.
    """

    def __init__(
        self, width: int, hidden: int, positions: int, convolutions: Sequence[nn.Module] = ()
    ) -> None:
        super().__init__()
        inputs = (width + 1, width, width, width)
        self.convolutions = nn.ModuleList(
            convolutions
            or (
                nn.Conv2d(channels, width, 3, 2 if index == 3 else 1, 1)
                for index, channels in enumerate(inputs)
            )
        )
        self.fc1 = nn.Linear(width * 7 * 7, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.iou = nn.Linear(hidden, positions)
        for part in (*(() if convolutions else self.convolutions), self.fc1, self.fc2, self.iou):
            init_relu(part)
        nn.init.normal_(self.iou.weight, std=0.01)

    def forward(self, features: Tensor, masks: Tensor) -> Tensor:
        """Features (N, width, 14, 14) and soft masks (N, 28, 28) -> IoU (N, K), float32."""
        pooled = F.max_pool2d(masks[:, None], 2).to(features.dtype)
        x = torch.cat((features, pooled), 1)
        for conv in self.convolutions:
            x = F.relu(conv(x))
        x = F.relu(self.fc2(F.relu(self.fc1(x.flatten(1)))))
        iou: Tensor = self.iou(x).float()
        return iou
