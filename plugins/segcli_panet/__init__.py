"""PANet: Mask R-CNN with a second path through the pyramid; each box sees all its levels."""

from segcli.types import Resize
from segcli_blocks.family import coco_family
from segcli_panet.published import PUBLISHED

FAMILY = coco_family(
    "panet",
    {"r50-fpn": Resize(short=1000, long=1400, antialias=False)},
    published=PUBLISHED,
)
