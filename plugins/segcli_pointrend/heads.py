"""The two mask heads of PointRend: a coarse mask of the box, and one logit for each point."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segcli_blocks.towers import init_relu


class CoarseHead(nn.Module):
    """Features of a box (N, inputs, 2s, 2s) to mask logits (N, classes, s, s) (section 4.1)."""

    def __init__(self, inputs: int, width: int, hidden: int, classes: int, side: int = 7) -> None:
        super().__init__()
        if inputs > width:
            self.reduce_channel_dim_conv = nn.Conv2d(inputs, width, 1)
        self.reduce_spatial_dim_conv = nn.Conv2d(min(inputs, width), width, 2, 2)
        self.fc1 = nn.Linear(width * side * side, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.prediction = nn.Linear(hidden, classes * side * side)
        self.side = side
        init_relu(self)
        nn.init.normal_(self.prediction.weight, std=0.001)

    def forward(self, features: Tensor) -> Tensor:
        """Float32 logits."""
        x = features
        if hasattr(self, "reduce_channel_dim_conv"):
            x = F.relu(self.reduce_channel_dim_conv(x))
        x = F.relu(self.reduce_spatial_dim_conv(x)).flatten(1)
        x = F.relu(self.fc2(F.relu(self.fc1(x))))
        return self.prediction(x).float().unflatten(1, (-1, self.side, self.side))


class PointHead(nn.Module):
    """Fine features (N, inputs, P) and coarse logits (N, classes, P) of points to logits (N,
    classes, P); each layer sees the coarse logits again (section 4.1)."""

    def __init__(self, inputs: int, width: int, classes: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv1d(inputs + classes, width, 1)
        self.fc2 = nn.Conv1d(width + classes, width, 1)
        self.fc3 = nn.Conv1d(width + classes, width, 1)
        self.predictor = nn.Conv1d(width + classes, classes, 1)
        init_relu(self)
        nn.init.normal_(self.predictor.weight, std=0.001)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """Float32 logits."""
        x = fine
        for layer in (self.fc1, self.fc2, self.fc3):
            x = F.relu(layer(torch.cat((x, coarse.to(x.dtype)), 1)))
        logits: Tensor = self.predictor(torch.cat((x, coarse.to(x.dtype)), 1))
        return logits.float()
