"""Backbones with a feature pyramid: images in, five maps of strides 4, 8, 16, 32 and 64 out."""

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.ops import FeaturePyramidNetwork, FrozenBatchNorm2d
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

# Expansion, channels, blocks and first stride of every stage (MobileNetV2, Sandler et al. 2018,
# table 2), and after which of the 17 blocks a map leaves for the pyramid.
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
           (6, 160, 3, 2), (6, 320, 1, 1))  # fmt: skip
_TAPS = (3, 6, 13)


class ConvBias(nn.Module):
    """A convolution with a bias in place of normalisation, padded as TensorFlow's "SAME" is.

    On even sizes "SAME" pads a stride-2 convolution on the right and below only; the ImageNet
    weights were trained so. ReLU6 follows unless `linear`.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1,
        linear: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        pad = 0 if stride == 2 else kernel // 2
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, pad, groups=groups)
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        if self.conv.stride == (2, 2):
            x = F.pad(x, (0, 1, 0, 1))
        x = self.conv(x)
        return x if self.linear else F.relu6(x)


class InvertedResidual(nn.Module):
    """Expand, filter depthwise, project; the input is added where the shapes agree."""

    def __init__(self, inputs: int, outputs: int, *, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        expand = [ConvBias(inputs, hidden, 1)] if expansion > 1 else []
        self.layers = nn.Sequential(
            *expand,
            ConvBias(hidden, hidden, 3, stride=stride, groups=hidden),
            ConvBias(hidden, outputs, 1, linear=True),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.residual else self.layers(x)


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

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        """(B, 3, H, W) -> {"0": (B, 24, H/4, W/4), ..., "3": (B, 1280, H/32, W/32)}."""
        maps: OrderedDict[str, Tensor] = OrderedDict()
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in _TAPS:
                maps[str(len(maps))] = x
        maps["3"] = x
        return maps


class MobileNetFPN(nn.Module):
    """MobileNetV2 under a feature pyramid of `width` channels."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.body = MobileNetV2()
        self.fpn = FeaturePyramidNetwork(
            list(MobileNetV2.channels), width, extra_blocks=LastLevelMaxPool()
        )
        self.out_channels = width

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return self.fpn(self.body(x))

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Rescale the lateral convolutions to the spread of the maps that x (B, 3, H, W) causes.

        The ImageNet body has its normalisation folded in, so its maps differ tenfold in spread;
        laterals drawn for unit variance would drown the fine levels in the coarse ones.
        """
        for features, block in zip(self.body(x).values(), self.fpn.inner_blocks, strict=True):
            lateral = block[0]
            mean = features.mean((0, 2, 3))
            deviation = features.std((0, 2, 3)).clamp(min=1e-2)
            lateral.weight /= deviation[:, None, None]
            lateral.bias -= (lateral.weight[:, :, 0, 0] * mean).sum(1)


def _pyramid(body: nn.Module, norm: Callable[..., nn.Module] | None = None) -> BackboneWithFPN:
    layers = {"layer1": "0", "layer2": "1", "layer3": "2", "layer4": "3"}
    return BackboneWithFPN(body, layers, [256, 512, 1024, 2048], 256, norm_layer=norm)


def resnet50_fpn(*, eps: float = 0.0) -> BackboneWithFPN:
    """ResNet-50 with frozen BatchNorm; the published torchvision weights want eps = 0."""
    return _pyramid(resnet.resnet50(weights=None, norm_layer=_frozen(eps)))


def resnet50_fpn_v2() -> BackboneWithFPN:
    """ResNet-50 and pyramid with ordinary BatchNorm, as in torchvision's v2 model."""
    return _pyramid(resnet.resnet50(weights=None), nn.BatchNorm2d)


def resnet101_fpn() -> BackboneWithFPN:
    """ResNet-101 as Caffe2 and detectron2 have it: the stride sits on the first 1x1."""
    body = resnet.resnet101(weights=None, norm_layer=_frozen(1e-5))
    for stage in (body.layer2, body.layer3, body.layer4):
        stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
    return _pyramid(body)


def resnext101_fpn() -> BackboneWithFPN:
    """ResNeXt-101 32x8d, stride on the 3x3, frozen BatchNorm."""
    return _pyramid(resnet.resnext101_32x8d(weights=None, norm_layer=_frozen(1e-5)))


def _frozen(eps: float) -> Callable[[int], nn.Module]:
    return lambda channels: FrozenBatchNorm2d(channels, eps=eps)
