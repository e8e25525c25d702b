"""The variants of the family and how each is built."""

from __future__ import annotations

from segcli.types import ModelInfo
from segcli_blocks.backbone import p3_to_p7
from segcli_blocks.efficientnet_lite import PIXELS, EfficientNetLite
from segcli_blocks.mobilenet import MobileNetV2
from segcli_blocks.normalize import SYMMETRIC, Normalize
from segcli_blocks.resnet import ResNet, frozen_norm
from segcli_embedmask.heads import Head
from segcli_embedmask.model import EmbedMask, Options

# The published models see BGR; `convert` turns their first convolution round, so these are RGB.
MEAN = (122.7717, 115.9465, 102.9801)

_DEPTHS = {"r50-fpn": 50, "r101-fpn": 101}


def build(info: ModelInfo) -> EmbedMask:
    """A model with random weights for any variant of the family."""
    if info.variant == "mobilenet":
        return light(info, MobileNetV2(), Normalize(*SYMMETRIC))
    if info.variant == "lite2":
        return light(info, EfficientNetLite(2), Normalize(*PIXELS))
    return published(info, _DEPTHS[info.variant])


def light(
    info: ModelInfo,
    body: MobileNetV2 | EfficientNetLite,
    normalize: Normalize,
    *,
    width: int = 128,
) -> EmbedMask:
    """A small body and two-layer towers; levels learn objects of half the published sizes, because
    the images are half as large."""
    return EmbedMask(
        info,
        backbone=p3_to_p7(body, width),
        head=Head(width, len(info.categories), width=width, depth=2),
        normalize=normalize,
        options=Options(sizes=(32, 64, 128, 256)),
    )


def published(info: ModelInfo, depth: int) -> EmbedMask:
    """The authors' model: a Caffe-style ResNet with frozen norms (without eps) and stem."""
    body = ResNet(depth, frozen_norm(0.0), caffe=True)
    body.freeze_stem()
    return EmbedMask(
        info,
        backbone=p3_to_p7(body),
        head=Head(256, len(info.categories), width=256, depth=4),
        normalize=Normalize(MEAN, (1.0,) * 3),
        options=Options(),
    )
