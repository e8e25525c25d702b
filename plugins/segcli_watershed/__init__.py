"""The Deep Watershed Transform: objects are the basins of a predicted energy, cut at one level."""

from segcli.types import Resize
from segcli_blocks.family import STREET, coco_family

FAMILY = coco_family(
    "watershed",
    {"mobilenet": Resize(short=384, long=640), "r50-fpn": Resize(short=800, long=1333)},
    categories={"mobilenet": STREET},
)
