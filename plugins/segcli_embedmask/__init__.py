"""EmbedMask: a one-stage method; a pixel belongs to an object if their embeddings are close."""

from segcli.types import Resize
from segcli_blocks.family import STREET, coco_family
from segcli_embedmask.published import PUBLISHED

_PUBLISHED = Resize(short=800, long=1333, rounding="floor")

FAMILY = coco_family(
    "embedmask",
    {
        "mobilenet": Resize(short=384, long=640),
        "r50-fpn": _PUBLISHED,
        "r101-fpn": _PUBLISHED,
    },
    categories={"mobilenet": STREET},
    published=PUBLISHED,
)
