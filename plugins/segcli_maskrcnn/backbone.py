"""Backbones with a feature pyramid: images in, five maps of strides 4, 8, 16, 32 and 64 out."""

from collections import OrderedDict
from collections.abc import Callable

from torch import Tensor, nn
from torchvision.models import resnet
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.ops import FeaturePyramidNetwork, FrozenBatchNorm2d
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from segcli_blocks.backbone import rescale_laterals
from segcli_blocks.mobilenet import MobileNetV2


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
        return self.fpn(OrderedDict((str(i), m) for i, m in enumerate(self.body(x))))

    def freeze_stem(self) -> None:
        """Keep what the body's first layers learned from image classification."""
        self.body.freeze_stem()

    def calibrate(self, x: Tensor) -> None:
        """Fit the laterals to a body that comes straight from image classification."""
        rescale_laterals(self.fpn, self.body(x))


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
