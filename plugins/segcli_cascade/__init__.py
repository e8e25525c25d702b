"""Cascade Mask R-CNN: three box heads in a row, each on the boxes of the one before."""

from segcli.types import Resize
from segcli_blocks.family import coco_family

FAMILY = coco_family(
    "cascade",
    {"r50-fpn": Resize(short=800, long=1333)},
    published={
        "r50-fpn": "detectron2's cascade_mask_rcnn_R_50_FPN_3x or _1x (its MODEL_ZOO.md)",
    },
)
