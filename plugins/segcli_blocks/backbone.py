"""A body under torchvision's feature pyramid: images in, maps out, finest first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

from segcli_blocks.efficientnet_lite import EfficientNetLite
from segcli_blocks.mobilenet import MobileNetV2
from segcli_blocks.resnet import Norm, ResNet


@runtime_checkable
class Pretrained(Protocol):
    """A backbone whose body may hold weights from image classification."""

    def calibrate(self, x: Tensor) -> None:
        """Fit what is above the body to its maps of the images x (B, 3, H, W)."""
        ...

    def freeze_stem(self) -> None:
        """Stop training the body's layers up to the map of stride 4."""
        ...


@runtime_checkable
class Body(Protocol):
    """A body that gives a map for each of its stages."""

    def stages(self) -> list[list[nn.Module]]:
        """The layers of each stage, finest first; the first one ends with the map of stride 4."""
        ...


class Backbone(nn.Module):
    """`body`, a ResNet or MobileNetV2, gives maps; `fpn` takes as many of the last ones as it has
    lateral convolutions.

    The levels above come from torchvision's extra blocks: `LastLevelP6P7(w, w)` convolves P5 (and
    relu(P6)), `LastLevelP6P7(c5, w)` begins with C5, `LastLevelMaxPool()` subsamples P5.
    """

    def __init__(self, body: nn.Module, fpn: FeaturePyramidNetwork) -> None:
        super().__init__()
        self.body = body
        self.fpn = fpn

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> maps of strides s, 2s, ...; sizes are rounded up."""
        return self.pyramid(self.body(x))

    def pyramid(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """The body's maps -> the pyramid's."""
        last = maps[-len(self.fpn.inner_blocks) :]
        named = OrderedDict((str(i), m) for i, m in enumerate(last))
        return list(self.fpn(named).values())

    def calibrate(self, x: Tensor) -> None:
        """See Pretrained; fits the lateral convolutions."""
        rescale_laterals(self.fpn, self.body(x))

    def freeze_stem(self) -> None:
        """See Pretrained."""
        freeze = self.body.freeze_stem
        assert callable(freeze)
        freeze()


def p3_to_p7(body: ResNet | MobileNetV2 | EfficientNetLite, width: int = 256) -> Backbone:
    """P3 to P5 from C3 to C5; P6 is a 3x3 stride-2 convolution of P5, P7 one of relu(P6)."""
    extra = LastLevelP6P7(width, width)
    return Backbone(body, FeaturePyramidNetwork(list(body.channels[1:]), width, extra))


def p2_to_p5(body: ResNet | MobileNetV2, width: int) -> Backbone:
    """P2 to P5 from C2 to C5."""
    return Backbone(body, FeaturePyramidNetwork(list(body.channels), width))


def p2_to_p6(body: nn.Module, width: int = 256, norm: Norm | None = None) -> Backbone:
    """P2 to P5 from C2 to C5 of a body with `channels`; P6 is every other value of P5."""
    channels = body.channels
    assert isinstance(channels, tuple)
    fpn = FeaturePyramidNetwork(list(channels), width, LastLevelMaxPool(), norm)
    return Backbone(body, fpn)


@torch.no_grad()
def rescale_laterals(fpn: FeaturePyramidNetwork, maps: Sequence[Tensor]) -> None:
    """Rescale the lateral convolutions to the spread of the body's maps.

    A body with its normalisation folded in gives maps that differ tenfold in spread; laterals
    drawn for unit variance would drown the fine levels in the coarse ones.
    """
    for features, block in zip(maps[-len(fpn.inner_blocks) :], fpn.inner_blocks, strict=True):
        lateral = block.get_submodule("0")
        assert isinstance(lateral, nn.Conv2d)
        mean = features.mean((0, 2, 3))
        deviation = features.std((0, 2, 3)).clamp(min=1e-2)
        lateral.weight /= deviation[:, None, None]
        if lateral.bias is not None:  # a norm after the convolution takes the mean away itself
            lateral.bias -= (lateral.weight[:, :, 0, 0] * mean).sum(1)
