"""Darknet-53 (Redmon and Farhadi 2018), the body of one variant."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(0.1, inplace=True),
    )


class _Block(nn.Module):
    """A bottleneck of half the width, added to its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = _conv(width, width // 2, 1)
        self.conv2 = _conv(width // 2, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.conv2(self.conv1(x)) + x
        return found


class Darknet(nn.Module):
    """Five stages, each of half the size and twice the width; `channels` are those of the maps."""

    def __init__(self, *, width: int = 32, blocks: Sequence[int] = (1, 2, 8, 8, 4)) -> None:
        super().__init__()
        self._preconv = _conv(3, width, 3)
        stages = []
        for count in blocks:
            rest = [_Block(2 * width) for _ in range(count)]
            stages.append(nn.Sequential(_conv(width, 2 * width, 3, stride=2), *rest))
            width *= 2
        self.layers = nn.ModuleList(stages)
        self.channels = tuple(width >> shift for shift in (3, 2, 1, 0))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> four maps of strides 4, 8, 16 and 32."""
        x = self._preconv(x)
        maps = []
        for stage in self.layers:
            x = stage(x)
            maps.append(x)
        return maps[1:]
