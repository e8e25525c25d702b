"""Mask Scoring R-CNN: Mask R-CNN that also estimates how well each mask fits its object."""

from segcli.types import Resize
from segcli_blocks.family import coco_family

_RESIZE = Resize(short=800, long=1333, rounding="floor")
_AUTHORS = "github.com/zjhuang22/maskscoring_rcnn, e2e_ms_rcnn_"

FAMILY = coco_family(
    "maskscoring",
    {"r50-fpn": _RESIZE, "r101-fpn": _RESIZE},
    published={"r50-fpn": _AUTHORS + "R_50_FPN_1x", "r101-fpn": _AUTHORS + "R_101_FPN_1x"},
)
