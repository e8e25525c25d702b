"""SOLO: objects by location; each cell of a grid predicts the class and the mask of its object."""

from segcli.types import Resize
from segcli_blocks.family import coco_family

_FULL = Resize(short=800, long=1333, antialias=False)
_LIGHT = Resize(short=448, long=768, antialias=False)
_VARIANTS = {
    "solov2-light-r18": ("SOLOv2_Light_448_R18_3x", _LIGHT),
    "solov2-light-r50": ("SOLOv2_Light_448_R50_3x", _LIGHT),
    "solov2-r50": ("SOLOv2_R50_3x", _FULL),
    "solov2-r101": ("SOLOv2_R101_3x", _FULL),
    "solo-r50": ("SOLO_R50_3x", _FULL),
    "decoupled-r50": ("DECOUPLED_SOLO_R50_3x", _FULL),
    "decoupled-light-r50": (
        "DECOUPLED_SOLO_LIGHT_R50_3x",
        Resize(short=512, long=852, antialias=False),
    ),
}

FAMILY = coco_family(
    "solo",
    {name: resize for name, (_, resize) in _VARIANTS.items()},
    published={n: f"github.com/WXinlong/SOLO ({theirs})" for n, (theirs, _) in _VARIANTS.items()},
)
