"""Mask R-CNN: a two-stage method with a 28 x 28 mask, or with keypoints, for each box."""

from segcli.types import Resize
from segcli_blocks.family import EVERYDAY, PERSON, STREET, coco_family
from segcli_maskrcnn.published import PUBLISHED

_LIGHT = Resize(short=416, long=704)
_TORCHVISION = Resize(short=800, long=1333, rounding="floor", antialias=False)
_DETECTRON2 = Resize(short=800, long=1333)

FAMILY = coco_family(
    "maskrcnn",
    {
        "lite2": _LIGHT,
        "lite1": _LIGHT,
        "mobilenet": _LIGHT,
        "r50-fpn": _TORCHVISION,
        "r50-fpn-v2": _TORCHVISION,
        "r50-fpn-d2": _DETECTRON2,
        "r101-fpn": _DETECTRON2,
        "x101-fpn": _DETECTRON2,
        "r50-c4": _DETECTRON2,
        "r50-dc5": _DETECTRON2,
        "r101-c4": _DETECTRON2,
        "r101-dc5": _DETECTRON2,
        "keypoint-r50-fpn": _TORCHVISION,
        "keypoint-r50-fpn-legacy": _TORCHVISION,
    },
    categories={
        "mobilenet": STREET,
        "lite1": EVERYDAY,
        "lite2": EVERYDAY,
        "keypoint-r50-fpn": PERSON,
        "keypoint-r50-fpn-legacy": PERSON,
    },
    keypoints=frozenset({"keypoint-r50-fpn", "keypoint-r50-fpn-legacy"}),
    bodies={
        "mobilenet": "mobilenet_v2",
        "lite1": "efficientnet_lite1",
        "lite2": "efficientnet_lite2",
    },
    published=PUBLISHED,
)
