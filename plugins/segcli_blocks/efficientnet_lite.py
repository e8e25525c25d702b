"""EfficientNet-Lite bodies without normalisation layers, and their ImageNet weights.

Tan and Le 2019 (EfficientNet, arXiv 1905.11946), in TensorFlow's "Lite" form: no
squeeze-and-excitation, ReLU6 in place of swish, stem and first and last stage of fixed depth.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping

from torch import Tensor, nn

from segcli_blocks.mobilenet import ConvBias, InvertedResidual

# Expansion, channels, blocks, first stride and depthwise kernel of every stage of Lite0.
_STAGES = ((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3),
           (6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3))  # fmt: skip
_TAPPED = (1, 2, 4, 6)  # stages whose last map leaves for the pyramid
_SCALES = {0: (1.0, 1.0), 1: (1.0, 1.1), 2: (1.1, 1.2), 3: (1.2, 1.4), 4: (1.4, 1.8)}
_PUBLISHED = re.compile(r"(?:stem|blocks\.\d+\.(?:expand|depthwise|project))\.(?:weight|bias)")

PIXELS = ((127.0,) * 3, (128.0,) * 3)  # mean and deviation of RGB 0..255


class EfficientNetLite(nn.Module):
    """The body of Lite0 to Lite4 (`size`); four maps of strides 4 to 32.

    `channels` are those of the maps.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        wider, deeper = _SCALES[size]
        self.stem = ConvBias(3, 32, 3, stride=2)
        self.taps = []  # indices of the blocks that give the maps
        blocks: list[nn.Module] = []
        channels = []
        width = 32
        for stage, (expansion, base, count, first, kernel) in enumerate(_STAGES):
            outputs = _rounded(base * wider)
            fixed = stage in (0, len(_STAGES) - 1)
            for block in range(count if fixed else math.ceil(count * deeper)):
                step = first if block == 0 else 1
                blocks.append(
                    InvertedResidual(
                        width, outputs, stride=step, expansion=expansion, kernel=kernel
                    )
                )
                width = outputs
            if stage in _TAPPED:
                self.taps.append(len(blocks) - 1)
                channels.append(width)
        self.blocks = nn.ModuleList(blocks)
        self.channels = tuple(channels)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W), sides a multiple of 32 -> four maps of H/4, H/8, H/16 and H/32 rows."""
        x = self.stem(x)
        maps: list[Tensor] = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.taps:
                maps.append(x)
        return maps

    def stages(self) -> list[list[nn.Module]]:
        """See backbone.Body."""
        ends = [tap + 1 for tap in self.taps]
        first, *others = [list(self.blocks[a:b]) for a, b in itertools.pairwise([0, *ends])]
        return [[self.stem, *first], *others]

    def freeze_stem(self) -> None:
        """Stop learning up to the map of stride 4, as MobileNetV2's body does."""
        for layer in (self.stem, *self.blocks[: self.taps[0] + 1]):
            layer.requires_grad_(False)


def is_imagenet(state: Mapping[str, Tensor]) -> bool:
    """Whether these are the weights of an EfficientNet-Lite body with its norms folded in."""
    return "stem.weight" in state and all(_PUBLISHED.fullmatch(name) for name in state)


def from_imagenet(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """`stem` and `blocks.N.{expand,depthwise,project}`, each a convolution with bias, under the
    names of the `EfficientNetLite` above, after `prefix`."""
    found = {}
    for name, tensor in state.items():
        layer, kind = name.rsplit(".", 1)
        if layer != "stem":
            block, part = layer.rsplit(".", 1)
            places = [
                p for p in ("expand", "depthwise", "project") if f"{block}.{p}.weight" in state
            ]
            layer = f"{block}.layers.{places.index(part)}"
        found[f"{prefix}{layer}.conv.{kind}"] = tensor.float()
    return found


def _rounded(channels: float) -> int:
    """To a multiple of 8, never below nine tenths."""
    near = max(8, int(channels + 4) // 8 * 8)
    return near if near >= 0.9 * channels else near + 8
