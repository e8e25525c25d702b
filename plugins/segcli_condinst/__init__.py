"""CondInst: a one-stage method; each object has the weights of a small network for its mask."""

from segcli.types import Resize
from segcli_blocks.family import coco_family
from segcli_condinst.published import PUBLISHED

_RESIZE = Resize(short=800, long=1333)

FAMILY = coco_family(
    "condinst",
    {"r50-fpn": _RESIZE, "r101-fpn": _RESIZE, "r101-fpn-sem": _RESIZE},
    published=PUBLISHED,
)
