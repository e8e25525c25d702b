"""The pyramid with the bottom-up path (Liu et al. 2018, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import FeaturePyramidNetwork

from segcli_blocks.backbone import Backbone
from segcli_blocks.resnet import ResNet


class BottomUpBackbone(Backbone):
    """P2 to P5 of a feature pyramid, then N2 to N6, finest first: N2 is P2; each further map adds
    the one before, at half its size, to that of the pyramid; N6 is every other value of N5."""

    def __init__(self, body: ResNet, width: int = 256, *, groups: int = 32) -> None:
        norm = partial(nn.GroupNorm, groups)
        channels = list(body.channels)
        super().__init__(body, FeaturePyramidNetwork(channels, width, norm_layer=norm))
        steps = range(len(channels) - 1)
        self.down = nn.ModuleList(convolution(width, width, groups, stride=2) for _ in steps)
        self.out = nn.ModuleList(convolution(width, width, groups) for _ in steps)

    def pyramid(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """The body's maps -> N2 to N6."""
        first, *others = super().pyramid(maps)
        made = [first]
        for down, out, lateral in zip(self.down, self.out, others, strict=True):
            made.append(out(down(made[-1]) + lateral))
        return [*made, F.max_pool2d(made[-1], 1, 2)]


def convolution(
    inputs: int, outputs: int, groups: int, *, stride: int = 1, bias: bool = True
) -> nn.Sequential:
    """3 x 3, a group norm, a ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=bias),
        nn.GroupNorm(groups, outputs),
        nn.ReLU(),
    )
