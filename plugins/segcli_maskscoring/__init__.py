"""Mask Scoring R-CNN: Mask R-CNN that also estimates how well each mask fits its object."""

from segcli.types import Resize
from segcli_blocks.family import coco_family
from segcli_maskscoring.published import PUBLISHED

_RESIZE = Resize(short=800, long=1333, rounding="floor")

FAMILY = coco_family(
    "maskscoring",
    {"r50-fpn": _RESIZE, "r101-fpn": _RESIZE},
    published=PUBLISHED,
)
