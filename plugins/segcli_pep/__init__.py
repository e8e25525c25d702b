"""PEP: perceive objects, excavate the objects next to them, purify duplicates."""

from segcli.types import Resize
from segcli_blocks.family import coco_family

_FULL = Resize(short=800, long=1333)

FAMILY = coco_family(
    "pep",
    {"mobilenet": Resize(short=320, long=640), "r50-fpn": _FULL, "r101-fpn": _FULL},
)
