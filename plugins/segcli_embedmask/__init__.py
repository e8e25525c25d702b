"""EmbedMask: a one-stage method; a pixel belongs to an object if their embeddings are close."""

from segcli.types import Resize
from segcli_blocks.family import EVERYDAY, STREET, coco_family
from segcli_embedmask.published import PUBLISHED

_PUBLISHED = Resize(short=800, long=1333, rounding="floor")

FAMILY = coco_family(
    "embedmask",
    {
        "mobilenet": Resize(short=384, long=640),
        "lite2": Resize(short=416, long=704),
        "r50-fpn": _PUBLISHED,
        "r101-fpn": _PUBLISHED,
    },
    categories={"mobilenet": STREET, "lite2": EVERYDAY},
    bodies={"mobilenet": "mobilenet_v2", "lite2": "efficientnet_lite2"},
    published=PUBLISHED,
)
