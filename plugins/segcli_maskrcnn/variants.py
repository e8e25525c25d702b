"""The variants of the family and how each is built."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import nn
from torchvision.models.detection.faster_rcnn import (
    FastRCNNConvFCHead,
    FastRCNNPredictor,
    TwoMLPHead,
)
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads
from torchvision.models.detection.rpn import RPNHead

from segcli.categories import COCO_IDS
from segcli.types import ModelInfo
from segcli_blocks.backbone import p2_to_p6
from segcli_blocks.efficientnet_lite import EfficientNetLite
from segcli_blocks.mobilenet import MobileNetV2
from segcli_blocks.normalize import IMAGENET
from segcli_blocks.rcnn import lite
from segcli_blocks.rcnn.box_head import agnostic_box_predictor
from segcli_blocks.rcnn.conventions import DETECTRON2, LIGHT, TORCHVISION, Conventions
from segcli_blocks.rcnn.mask_head import mask_predictor
from segcli_blocks.rcnn.two_stage import RoIHeads, TwoStage, fpn_heads
from segcli_blocks.resnet import ResNet, caffe_resnet, frozen_norm
from segcli_maskrcnn import keypoints, single_map


def build(info: ModelInfo) -> TwoStage:
    """A model with random weights for any variant of the family."""
    return _BUILDERS[info.variant](info)


def mobilenet(
    info: ModelInfo, *, width: int = 128, depth: int = 4, conventions: Conventions = LIGHT
) -> TwoStage:
    """MobileNetV2, pyramid and heads of 128 channels, one box and mask for all classes. `depth`:
    convolutions of the mask head. The shipped model has the defaults."""
    hidden, positions = 4 * width, len(info.categories) + 1
    roi_heads = RoIHeads(
        TwoMLPHead(width * 7 * 7, hidden),
        agnostic_box_predictor(hidden, positions),
        MaskRCNNHeads(width, (width,) * depth, 1),
        mask_predictor(width, 1),
        conventions=conventions,
        classes=range(1, positions),
        agnostic=True,
    )
    backbone = p2_to_p6(MobileNetV2(), width)
    return TwoStage(info, backbone=backbone, roi_heads=roi_heads, width=width)


def lite1(info: ModelInfo) -> TwoStage:
    """EfficientNet-Lite1 under separable pyramid and heads."""
    return separable(info, EfficientNetLite(1))


def lite2(info: ModelInfo) -> TwoStage:
    """EfficientNet-Lite2 under separable pyramid and heads."""
    return separable(info, EfficientNetLite(2))


def separable(info: ModelInfo, body: EfficientNetLite, *, width: int = lite.WIDTH) -> TwoStage:
    """One box and one mask for all classes, as in the variant `mobilenet`."""
    positions = len(info.categories) + 1
    roi_heads = RoIHeads(
        *lite.box_layers(positions, width),
        *lite.mask_layers(width),
        conventions=lite.LITE,
        classes=range(1, positions),
        agnostic=True,
    )
    return lite.two_stage(info, roi_heads, body, width)


def r50_fpn(info: ModelInfo) -> TwoStage:
    """torchvision's maskrcnn_resnet50_fpn; 91 positions when the categories are COCO's."""
    positions, classes = _positions(info)
    roi_heads = RoIHeads(*fpn_heads(positions), conventions=TORCHVISION, classes=classes)
    backbone = p2_to_p6(ResNet(50, frozen_norm(0.0)))
    return TwoStage(info, backbone=backbone, roi_heads=roi_heads)


def r50_fpn_v2(info: ModelInfo) -> TwoStage:
    """torchvision's maskrcnn_resnet50_fpn_v2: BatchNorm everywhere, deeper heads."""
    positions, classes = _positions(info)
    norm = nn.BatchNorm2d
    roi_heads = RoIHeads(
        FastRCNNConvFCHead((256, 7, 7), [256] * 4, [1024], norm_layer=norm),
        FastRCNNPredictor(1024, positions),
        MaskRCNNHeads(256, (256,) * 4, 1, norm_layer=norm),
        mask_predictor(256, positions),
        conventions=TORCHVISION,
        classes=classes,
    )
    return TwoStage(
        info,
        backbone=p2_to_p6(ResNet(50, norm), norm=norm),
        rpn_head=RPNHead(256, 3, conv_depth=2),
        roi_heads=roi_heads,
    )


def r50_fpn_d2(info: ModelInfo) -> TwoStage:
    """detectron2's mask_rcnn_R_50_FPN."""
    return _detectron2(info, ResNet(50, frozen_norm(), caffe=True), DETECTRON2)


def r101_fpn(info: ModelInfo) -> TwoStage:
    """detectron2's mask_rcnn_R_101_FPN."""
    return _detectron2(info, ResNet(101, frozen_norm(), caffe=True), DETECTRON2)


def x101_fpn(info: ModelInfo) -> TwoStage:
    """detectron2's mask_rcnn_X_101_32x8d_FPN."""
    body = ResNet(101, frozen_norm(), groups=(32, 8))
    return _detectron2(info, body, replace(DETECTRON2, std=IMAGENET[1]))


def r50_c4(info: ModelInfo) -> TwoStage:
    """detectron2's mask_rcnn_R_50_C4."""
    return single_map.c4(info, caffe_resnet(50))


def r50_dc5(info: ModelInfo) -> TwoStage:
    """detectron2's mask_rcnn_R_50_DC5."""
    return single_map.dc5(info, caffe_resnet(50))


def r101_c4(info: ModelInfo) -> TwoStage:
    """detectron2's mask_rcnn_R_101_C4."""
    return single_map.c4(info, caffe_resnet(101))


def r101_dc5(info: ModelInfo) -> TwoStage:
    """detectron2's mask_rcnn_R_101_DC5."""
    return single_map.dc5(info, caffe_resnet(101))


def keypoint_r50_fpn(info: ModelInfo) -> TwoStage:
    """torchvision's keypointrcnn_resnet50_fpn, whose COCO_V1 weights have norms without epsilon."""
    return keypoints.assemble(info, p2_to_p6(ResNet(50, frozen_norm(0.0))))


def keypoint_r50_fpn_legacy(info: ModelInfo) -> TwoStage:
    """The same as for its COCO_LEGACY weights: norms with epsilon."""
    return keypoints.assemble(info, p2_to_p6(ResNet(50, frozen_norm())))


def _detectron2(info: ModelInfo, body: ResNet, conventions: Conventions) -> TwoStage:
    positions = len(info.categories) + 1
    heads, classes = fpn_heads(positions), range(1, positions)
    roi_heads = RoIHeads(*heads, conventions=conventions, classes=classes)
    return TwoStage(info, backbone=p2_to_p6(body), roi_heads=roi_heads)


def _positions(info: ModelInfo) -> tuple[int, Sequence[int]]:
    """torchvision's COCO models have a logit for each id up to 90, the unused ones included."""
    if info.category_ids == COCO_IDS:
        return max(COCO_IDS) + 1, COCO_IDS
    return len(info.categories) + 1, range(1, len(info.categories) + 1)


_BUILDERS: dict[str, Callable[[ModelInfo], TwoStage]] = {
    "mobilenet": mobilenet,
    "lite1": lite1,
    "lite2": lite2,
    "r50-fpn": r50_fpn,
    "r50-fpn-v2": r50_fpn_v2,
    "r50-fpn-d2": r50_fpn_d2,
    "r101-fpn": r101_fpn,
    "x101-fpn": x101_fpn,
    "r50-c4": r50_c4,
    "r50-dc5": r50_dc5,
    "r101-c4": r101_c4,
    "r101-dc5": r101_dc5,
    "keypoint-r50-fpn": keypoint_r50_fpn,
    "keypoint-r50-fpn-legacy": keypoint_r50_fpn_legacy,
}
