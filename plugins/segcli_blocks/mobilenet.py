"""MobileNetV2 (Sandler et al. 2018) without normalisation layers, and its ImageNet weights."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from segcli_blocks.depthwise import Depthwise

# Expansion, channels, blocks and first stride of every stage (MobileNetV2, Sandler et al. 2018,
# table 2), and after which of the 17 blocks a map leaves for the pyramid.
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
           (6, 160, 3, 2), (6, 320, 1, 1))  # fmt: skip
_TAPS = (3, 6, 13)


class ConvBias(nn.Module):
    """A convolution with a bias in place of normalisation, padded as TensorFlow's "SAME" is.

    On even sizes "SAME" pads a stride-2 convolution more on the right and below than on the left
    and above (a 3x3 one only there); the ImageNet weights were trained so. ReLU6 follows unless
    `linear`.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1,
        linear: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        pad = 0 if stride == 2 else kernel // 2
        before = (kernel - 2) // 2
        self.margin = (before, kernel - 2 - before) * 2  # left, right, top, bottom
        if groups == inputs == outputs:
            self.conv: nn.Conv2d = Depthwise(inputs, kernel, stride=stride, padding=pad)
        else:
            self.conv = nn.Conv2d(inputs, outputs, kernel, stride, pad, groups=groups)
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        if self.conv.stride == (2, 2):
            x = F.pad(x, self.margin)
        x = self.conv(x)
        return x if self.linear else F.relu6(x, inplace=True)


class InvertedResidual(nn.Module):
    """Expand, filter depthwise, project; the input is added where the shapes agree."""

    def __init__(
        self, inputs: int, outputs: int, *, stride: int, expansion: int, kernel: int = 3
    ) -> None:
        super().__init__()
        hidden = inputs * expansion
        expand = [ConvBias(inputs, hidden, 1)] if expansion > 1 else []
        self.layers = nn.Sequential(
            *expand,
            ConvBias(hidden, hidden, kernel, stride=stride, groups=hidden),
            ConvBias(hidden, outputs, 1, linear=True),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layers(x)
        return x + found if self.residual else found


class MobileNetV2(nn.Module):
    """The MobileNetV2 1.0 body without normalisation layers; four maps, strides 4 to 32."""

    channels = (24, 32, 96, 1280)

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [ConvBias(3, 32, 3, stride=2)]
        width = 32
        for expansion, outputs, blocks, stride in _STAGES:
            for block in range(blocks):
                step = stride if block == 0 else 1
                layers.append(InvertedResidual(width, outputs, stride=step, expansion=expansion))
                width = outputs
        layers.append(ConvBias(width, 1280, 1))
        self.features = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> four maps (B, 24, H/4, W/4), ..., (B, 1280, H/32, W/32)."""
        maps: list[Tensor] = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in _TAPS:
                maps.append(x)
        return [*maps, x]

    def stages(self) -> list[list[nn.Module]]:
        """See backbone.Body."""
        ends = [*(tap + 1 for tap in _TAPS), len(self.features)]
        return [list(self.features[a:b]) for a, b in itertools.pairwise([0, *ends])]

    def freeze_stem(self) -> None:
        """Stop learning up to the map of stride 4: a third of a step's time, for edges and blobs
        that image classification has taught well."""
        for layer in self.features[: _TAPS[0] + 1]:
            layer.requires_grad_(False)


def from_imagenet(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """A torchvision-style MobileNetV2 with its BatchNorm folded into convolutions with bias.

    The names are those of the `MobileNetV2` above, after `prefix`; the classifier is left out.
    """
    found: dict[str, Tensor] = {}
    for name in state:
        if not (name.startswith("features.") and name.endswith(".weight")):
            continue
        if state[name].dim() != 4:
            continue
        head, index = name.removesuffix(".weight").rsplit(".", 1)
        norm = f"{head}.{int(index) + 1}"
        gain = state[f"{norm}.weight"].float()
        gain = gain / (state[f"{norm}.running_var"].float() + 1e-5).sqrt()
        ours = prefix + _our_name(head, int(index))
        found[f"{ours}.weight"] = state[name].float() * gain[:, None, None, None]
        mean = state[f"{norm}.running_mean"].float()
        found[f"{ours}.bias"] = state[f"{norm}.bias"].float() - mean * gain
    return found


def _our_name(head: str, index: int) -> str:
    """features.4.conv.1, 0 -> features.4.layers.1.conv; the projection has no list of its own."""
    parts = head.split(".")
    if len(parts) == 2:  # the first and the last convolution
        return f"features.{parts[1]}.conv"
    place = parts[3] if len(parts) == 4 else str(index)
    return f"features.{parts[1]}.layers.{place}.conv"
