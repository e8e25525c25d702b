"""The variant of the family: how it is put together."""

from __future__ import annotations

from dataclasses import replace

from torch import nn
from torchvision.models.detection.rpn import RPNHead

from segcli.types import ModelInfo
from segcli_blocks.backbone import p2_to_p6
from segcli_blocks.rcnn.conventions import DETECTRON2, Conventions
from segcli_blocks.rcnn.two_stage import TwoStage
from segcli_blocks.resnet import ResNet, frozen_norm
from segcli_cascade.model import CascadeHeads

CONVENTIONS = replace(DETECTRON2, proposals=(1000, 2000), binary_masks=True)


def build(info: ModelInfo) -> TwoStage:
    """detectron2's cascade_mask_rcnn_R_50_FPN, with random weights."""
    body = ResNet(50, frozen_norm(), caffe=True).expect_bytes()
    body.freeze_stem()
    return assemble(info, p2_to_p6(body))


def assemble(
    info: ModelInfo,
    backbone: nn.Module,
    *,
    width: int = 256,
    hidden: int = 1024,
    conventions: Conventions = CONVENTIONS,
) -> TwoStage:
    """Heads of `width` channels and `hidden` features on any backbone of P2 to P6."""
    roi_heads = CascadeHeads(
        len(info.categories), width=width, hidden=hidden, conventions=conventions
    )
    return TwoStage(info, backbone=backbone, rpn_head=RPNHead(width, 3), roi_heads=roi_heads)
