"""The variants of the family and how each is built."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from segcli.types import ModelInfo
from segcli_blocks.backbone import p2_to_p6
from segcli_blocks.efficientnet_lite import EfficientNetLite
from segcli_blocks.rcnn import lite
from segcli_blocks.rcnn.conventions import DETECTRON2, MMDETECTION1, Conventions
from segcli_blocks.rcnn.two_stage import TwoStage
from segcli_blocks.resnet import ResNet, caffe_resnet, fixed_statistics
from segcli_cascade.htc import HTC, HTCHeads
from segcli_cascade.model import CascadeHeads
from segcli_cascade.semantic import CLASSES, SemanticHead

CONVENTIONS = replace(DETECTRON2, proposals=(1000, 2000), binary_masks=True)


def build(info: ModelInfo) -> TwoStage:
    """A model with random weights for any variant of the family."""
    if info.variant == "lite2":
        return separable(info, EfficientNetLite(2))
    if info.variant.startswith("htc-"):
        return _htc(info)
    return _cascade(info)


def _cascade(info: ModelInfo) -> TwoStage:
    """detectron2's cascade_mask_rcnn_R_50_FPN, or with a ResNet-101."""
    depth = 101 if info.variant.startswith("r101") else 50
    return assemble(info, p2_to_p6(caffe_resnet(depth)))


def _htc(info: ModelInfo) -> HTC:
    """mmdetection 1's htc_r50_fpn, htc_r101_fpn, or htc_without_semantic_r50_fpn: bodies in
    torchvision's style, norms that learn but keep their statistics."""
    body = ResNet(101 if "r101" in info.variant else 50, fixed_statistics)
    body.freeze_stem()
    return assemble_htc(info, p2_to_p6(body), semantic=not info.variant.endswith("-plain"))


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
    return TwoStage(info, backbone=backbone, roi_heads=roi_heads, width=width)


def separable(info: ModelInfo, body: EfficientNetLite, *, width: int = lite.WIDTH) -> TwoStage:
    """The cascade on body, pyramid and mask head of `maskrcnn/lite2`; one mask for all classes."""
    roi_heads = CascadeHeads(
        len(info.categories), *lite.mask_layers(width), width=width,
        hidden=lite.hidden_for(width), conventions=lite.LITE, agnostic=True,
    )  # fmt: skip
    return lite.two_stage(info, roi_heads, body, width)


def assemble_htc(
    info: ModelInfo,
    backbone: nn.Module,
    *,
    width: int = 256,
    hidden: int = 1024,
    semantic: bool = True,
    semantic_classes: int = CLASSES,
    conventions: Conventions = MMDETECTION1,
) -> HTC:
    """The same for Hybrid Task Cascade, with or without its semantic branch."""
    roi_heads = HTCHeads(len(info.categories), width=width, hidden=hidden, conventions=conventions)
    return HTC(
        info,
        backbone=backbone,
        roi_heads=roi_heads,
        semantic_head=SemanticHead(width, semantic_classes) if semantic else None,
        width=width,
    )
