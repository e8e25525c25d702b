"""Cascade Mask R-CNN, with three box heads that refine each other's boxes, and HTC."""

from segcli.types import Resize
from segcli_blocks.family import EVERYDAY, coco_family
from segcli_cascade.published import PUBLISHED

_DETECTRON2 = Resize(short=800, long=1333)
_MMDETECTION = Resize(short=800, long=1333, antialias=False)

FAMILY = coco_family(
    "cascade",
    {
        "r50-fpn": _DETECTRON2,
        "r101-fpn": _DETECTRON2,
        "htc-r50-fpn": _MMDETECTION,
        "htc-r101-fpn": _MMDETECTION,
        "htc-r50-fpn-plain": _MMDETECTION,
        "lite2": Resize(short=416, long=704),
    },
    categories={"lite2": EVERYDAY},
    bodies={"lite2": "efficientnet_lite2"},
    published=PUBLISHED,
)
