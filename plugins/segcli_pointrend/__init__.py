"""PointRend: Mask R-CNN whose masks are refined at the points where they are least certain."""

from segcli.types import Resize
from segcli_blocks.family import EVERYDAY, coco_family
from segcli_pointrend.published import PUBLISHED

FAMILY = coco_family(
    "pointrend",
    {
        **dict.fromkeys(("r50-fpn", "r101-fpn", "x101-fpn"), Resize(short=800, long=1333)),
        "lite2": Resize(short=416, long=704),
    },
    categories={"lite2": EVERYDAY},
    bodies={"lite2": "efficientnet_lite2"},
    published=PUBLISHED,
)
