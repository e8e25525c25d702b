"""Mask R-CNN: two stages, boxes first, a 28 x 28 mask for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from segcli.categories import (
    COCO_IDS,
    COCO_NAMES,
    EVERYDAY_IDS,
    EVERYDAY_NAMES,
    STREET_IDS,
    STREET_NAMES,
)
from segcli.plugin import Family, Segmenter
from segcli.types import ModelInfo, Resize

if TYPE_CHECKING:
    from torch import Tensor

_TORCHVISION = Resize(short=800, long=1333, rounding="floor", antialias=False)
_DETECTRON2 = Resize(short=800, long=1333)


def _coco(variant: str, resize: Resize) -> ModelInfo:
    return ModelInfo("maskrcnn", variant, COCO_NAMES, COCO_IDS, resize, stride=32)


def _everyday(variant: str) -> ModelInfo:
    resize = Resize(short=416, long=704)
    return ModelInfo("maskrcnn", variant, EVERYDAY_NAMES, EVERYDAY_IDS, resize, stride=32)


def build(info: ModelInfo) -> Segmenter:
    """A model with random weights."""
    from segcli_maskrcnn.variants import build

    return build(info)


def convert(state: Mapping[str, Tensor], info: ModelInfo) -> dict[str, Tensor]:
    """A published checkpoint's tensors under our names; see segcli_maskrcnn.convert."""
    from segcli_maskrcnn.convert import convert

    return convert(state, info)


FAMILY = Family(
    name="maskrcnn",
    variants={
        "mobilenet": ModelInfo(
            "maskrcnn", "mobilenet", STREET_NAMES, STREET_IDS,
            Resize(short=416, long=704), stride=32,
        ),
        "lite1": _everyday("lite1"),
        "lite2": _everyday("lite2"),
        "r50-fpn": _coco("r50-fpn", _TORCHVISION),
        "r50-fpn-v2": _coco("r50-fpn-v2", _TORCHVISION),
        "r101-fpn": _coco("r101-fpn", _DETECTRON2),
        "x101-fpn": _coco("x101-fpn", _DETECTRON2),
    },
    build=build,
    convert=convert,
    published={
        "r50-fpn": "torchvision's maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth "
        "(MaskRCNN_ResNet50_FPN_Weights.COCO_V1)",
        "r50-fpn-v2": "torchvision's maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth "
        "(MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1)",
        "r101-fpn": "detectron2's mask_rcnn_R_101_FPN_3x (its MODEL_ZOO.md)",
        "x101-fpn": "detectron2's mask_rcnn_X_101_32x8d_FPN_3x (its MODEL_ZOO.md)",
    },
)  # fmt: skip
