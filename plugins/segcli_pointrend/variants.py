"""The variants of the family and how each is built."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from segcli.types import ModelInfo
from segcli_blocks.backbone import p2_to_p6
from segcli_blocks.efficientnet_lite import EfficientNetLite
from segcli_blocks.normalize import IMAGENET
from segcli_blocks.rcnn import lite
from segcli_blocks.rcnn.conventions import DETECTRON2, Conventions
from segcli_blocks.rcnn.two_stage import TwoStage, fpn_heads
from segcli_blocks.resnet import ResNet, caffe_resnet, frozen_norm
from segcli_pointrend.heads import CoarseHead, PointHead
from segcli_pointrend.model import MaskHeads, PointRendHeads

CONVENTIONS = replace(DETECTRON2, binary_masks=True)
X101 = replace(CONVENTIONS, std=IMAGENET[1])


def build(info: ModelInfo) -> TwoStage:
    """detectron2's pointrend_rcnn models, or the light one, with random weights."""
    if info.variant == "lite2":
        return separable(info, EfficientNetLite(2))
    if info.variant == "x101-fpn":
        body = ResNet(101, frozen_norm(), groups=(32, 8))
        return assemble(info, p2_to_p6(body), conventions=X101)
    depth = {"r50-fpn": 50, "r101-fpn": 101}[info.variant]
    return assemble(info, p2_to_p6(caffe_resnet(depth)))


def assemble(
    info: ModelInfo,
    backbone: nn.Module,
    *,
    width: int = 256,
    hidden: int = 1024,
    point_width: int = 256,
    conventions: Conventions = CONVENTIONS,
) -> TwoStage:
    """Heads of `width` channels and `hidden` features on any backbone of P2 to P6."""
    classes = len(info.categories)
    box_head, box_predictor, _, _ = fpn_heads(classes + 1, width=width, hidden=hidden)
    roi_heads = PointRendHeads(
        box_head,
        box_predictor,
        MaskHeads(
            CoarseHead(width, width, hidden, classes), PointHead(width, point_width, classes)
        ),
        conventions=conventions,
        classes=range(1, classes + 1),
    )
    return TwoStage(info, backbone=backbone, roi_heads=roi_heads, width=width)


def separable(info: ModelInfo, body: EfficientNetLite, *, width: int = lite.WIDTH) -> TwoStage:
    """Body, pyramid and box head of `maskrcnn/lite2`, with one mask for all classes."""
    positions = len(info.categories) + 1
    coarse = CoarseHead(width, width, lite.hidden_for(width), 1)
    roi_heads = PointRendHeads(
        *lite.box_layers(positions, width),
        MaskHeads(coarse, PointHead(width, width, 1)),
        conventions=lite.LITE,
        classes=range(1, positions),
        agnostic=True,
    )
    return lite.two_stage(info, roi_heads, body, width)
