"""Cascade Mask R-CNN: three box heads in a row, each on the boxes of the one before."""

from segcli.types import Resize
from segcli_blocks.family import coco_family
from segcli_cascade.published import PUBLISHED

FAMILY = coco_family(
    "cascade",
    {"r50-fpn": Resize(short=800, long=1333)},
    published=PUBLISHED,
)
