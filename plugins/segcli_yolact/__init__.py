"""YOLACT: an object's mask is a mixture of prototypes that the whole image shares."""

from segcli.types import Resize
from segcli_blocks.family import coco_family
from segcli_yolact.published import PUBLISHED

_SQUARE = Resize(short=550, long=550, mode="stretch", antialias=False)
_VARIANTS = ("r50", "r101", "darknet53", "plus-r50", "plus-r101")

FAMILY = coco_family(
    "yolact",
    dict.fromkeys(_VARIANTS, _SQUARE),
    stride=1,
    published=PUBLISHED,
)
