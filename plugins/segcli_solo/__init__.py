"""SOLO: objects by location; each cell of a grid predicts the class and the mask of its object."""

from segcli.types import Resize
from segcli_blocks.family import coco_family
from segcli_solo.published import PUBLISHED

_FULL = Resize(short=800, long=1333, antialias=False)
_LIGHT = Resize(short=448, long=768, antialias=False)

FAMILY = coco_family(
    "solo",
    {
        "solov2-light-r18": _LIGHT,
        "solov2-light-r50": _LIGHT,
        "solov2-r50": _FULL,
        "solov2-r101": _FULL,
        "solo-r50": _FULL,
        "decoupled-r50": _FULL,
        "decoupled-light-r50": Resize(short=512, long=852, antialias=False),
    },
    published=PUBLISHED,
)
