"""A pyramid that learns two small images in a minute."""

from itertools import pairwise

from torch import Tensor, nn


class ToyPyramid(nn.Module):
    """Five maps of 32 channels, strides 4 to 64, each a few convolutions on the one before."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 16, 32, 32, 32, 32, 32)
        self.steps = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, 2, 1), nn.GroupNorm(4, b), nn.ReLU())
            for a, b in pairwise(widths)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for index, step in enumerate(self.steps):
            x = step(x)
            if index:
                maps.append(x)
        return maps
