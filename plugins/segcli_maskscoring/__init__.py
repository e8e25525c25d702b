"""Mask Scoring R-CNN: Mask R-CNN that also estimates how well each mask fits its object."""

from segcli.types import Resize
from segcli_blocks.family import EVERYDAY, coco_family
from segcli_maskscoring.published import PUBLISHED

_RESIZE = Resize(short=800, long=1333, rounding="floor")

FAMILY = coco_family(
    "maskscoring",
    {"r50-fpn": _RESIZE, "r101-fpn": _RESIZE, "lite2": Resize(short=416, long=704)},
    categories={"lite2": EVERYDAY},
    bodies={"lite2": "efficientnet_lite2"},
    published=PUBLISHED,
)
