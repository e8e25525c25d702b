"""CondInst: one stage; every object brings the weights of the small network that draws its mask."""

from segcli.types import Resize
from segcli_blocks.family import coco_family

_RESIZE = Resize(short=800, long=1333)
_AUTHORS = "github.com/aim-uofa/AdelaiDet, configs/CondInst/"

FAMILY = coco_family(
    "condinst",
    {"r50-fpn": _RESIZE, "r101-fpn": _RESIZE, "r101-fpn-sem": _RESIZE},
    published={
        "r50-fpn": _AUTHORS + "MS_R_50_1x or MS_R_50_3x",
        "r101-fpn": _AUTHORS + "MS_R_101_3x",
        "r101-fpn-sem": _AUTHORS + "MS_R_101_3x_sem",
    },
)
