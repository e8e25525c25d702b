"""Linear layers as pointwise convolutions, which OpenVINO computes faster in int8."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class Pointwise(nn.Module):
    """A linear layer for rows (N, inputs), which are the cells of one line of a map."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.weight = nn.Parameter(layer.weight.detach()[..., None, None], requires_grad=False)
        self.bias = layer.bias

    def forward(self, x: Tensor) -> Tensor:
        line = x[None, None].permute(0, 3, 1, 2)  # (1, inputs, 1, N), channels last in memory
        return F.conv2d(line, self.weight, self.bias).permute(0, 2, 3, 1)[0, 0]


def use_pointwise(network: nn.Module) -> None:
    """Replace all linear layers of `network`, which may get rows only."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear:
                setattr(parent, name, Pointwise(child))
