"""The variants of the family and how each is built."""

from __future__ import annotations

from torch import nn

from segcli.types import ModelInfo
from segcli_blocks.backbone import p2_to_p6
from segcli_blocks.rcnn.conventions import BENCHMARK, Conventions
from segcli_blocks.rcnn.two_stage import TwoStage, fpn_heads
from segcli_blocks.resnet import caffe_resnet
from segcli_maskscoring.heads import MaskIoU
from segcli_maskscoring.model import MaskScoringHeads

_DEPTHS = {"r50-fpn": 50, "r101-fpn": 101}


def build(info: ModelInfo) -> TwoStage:
    """A model with random weights: a Caffe-style ResNet with frozen norms (without eps)."""
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
