"""EmbedMask: one stage; a pixel belongs to an object if their embeddings are close."""

from segcli.types import Resize
from segcli_blocks.family import STREET, coco_family

_PUBLISHED = Resize(short=800, long=1333, rounding="floor")

FAMILY = coco_family(
    "embedmask",
    {
        "mobilenet": Resize(short=384, long=640),
        "r50-fpn": _PUBLISHED,
        "r101-fpn": _PUBLISHED,
    },
    categories={"mobilenet": STREET},
    published={
        "r50-fpn": "github.com/yinghdb/EmbedMask (embed_mask_R50_1x)",
        "r101-fpn": "github.com/yinghdb/EmbedMask (embed_mask_R101_ms_3x)",
    },
)
