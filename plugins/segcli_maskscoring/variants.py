"""The variants of the family and how each is built."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from segcli.types import ModelInfo
from segcli_blocks.backbone import p2_to_p6
from segcli_blocks.efficientnet_lite import EfficientNetLite
from segcli_blocks.rcnn import lite
from segcli_blocks.rcnn.conventions import BENCHMARK, Conventions
from segcli_blocks.rcnn.two_stage import TwoStage, fpn_heads
from segcli_blocks.resnet import caffe_resnet
from segcli_blocks.towers import init_relu
from segcli_maskscoring.heads import MaskIoU
from segcli_maskscoring.model import MaskScoringHeads

_DEPTHS = {"r50-fpn": 50, "r101-fpn": 101}


def build(info: ModelInfo) -> TwoStage:
    """A model with random weights: a Caffe-style ResNet with frozen norms (without eps), or the
    light one."""
    if info.variant == "lite2":
        return separable(info, EfficientNetLite(2))
    return assemble(info, p2_to_p6(caffe_resnet(_DEPTHS[info.variant], eps=0.0)))


def assemble(
    info: ModelInfo,
    backbone: nn.Module,
    *,
    width: int = 256,
    hidden: int = 1024,
    conventions: Conventions = BENCHMARK,
) -> TwoStage:
    """Heads of `width` channels and `hidden` features on any backbone of P2 to P6."""
    positions = len(info.categories) + 1
    roi_heads = MaskScoringHeads(
        *fpn_heads(positions, width=width, hidden=hidden),
        maskiou=MaskIoU(width, hidden, positions),
        conventions=conventions,
        classes=range(1, positions),
    )
    return TwoStage(info, backbone=backbone, roi_heads=roi_heads, width=width)


def separable(info: ModelInfo, body: EfficientNetLite, *, width: int = lite.WIDTH) -> TwoStage:
    """Body, pyramid and heads of `maskrcnn/lite2`: one box and one mask for all classes, but an
    estimate for each."""
    positions = len(info.categories) + 1
    roi_heads = MaskScoringHeads(
        *lite.box_layers(positions, width),
        *lite.mask_layers(width),
        maskiou=MaskIoU(width, lite.hidden_for(width), positions, _light(width)),
        conventions=lite.LITE,
        classes=range(1, positions),
        agnostic=True,
    )
    return lite.two_stage(info, roi_heads, body, width)


def _light(width: int) -> Sequence[nn.Module]:
    """A full 3x3 at each of 14 x 14 cells would cost four times as much as the mask itself."""
    first, last = nn.Conv2d(width + 1, width, 1), nn.Conv2d(width, width, 3, 2, 1)
    init_relu(first)
    init_relu(last)
    return first, lite.Separable(width, 3), lite.Separable(width, 3), last
