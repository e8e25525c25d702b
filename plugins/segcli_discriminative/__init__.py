"""Discriminative embeddings: pixels of one object have close embeddings, and are clustered."""

from segcli.types import Resize
from segcli_blocks.family import STREET, coco_family

FAMILY = coco_family(
    "discriminative",
    {"mobilenet": Resize(short=384, long=640), "r50-fpn": Resize(short=800, long=1333)},
    categories={"mobilenet": STREET},
)
