"""EmbedMask: one stage; a pixel belongs to an object when their embeddings lie close together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from segcli.categories import COCO_IDS, COCO_NAMES, STREET_IDS, STREET_NAMES
from segcli.plugin import Family, Segmenter
from segcli.types import ModelInfo, Resize

if TYPE_CHECKING:
    from torch import Tensor

_LIGHT = Resize(short=384, long=640)
_PUBLISHED = Resize(short=800, long=1333, rounding="floor")


def build(info: ModelInfo) -> Segmenter:
    """A model with random weights."""
    from segcli_embedmask.variants import build

    return build(info)


def convert(state: Mapping[str, Tensor], info: ModelInfo) -> dict[str, Tensor]:
    """A published checkpoint's tensors under our names; see segcli_embedmask.convert."""
    from segcli_embedmask.convert import convert

    return convert(state, info)


FAMILY = Family(
    name="embedmask",
    variants={
        "mobilenet": ModelInfo(
            "embedmask", "mobilenet", STREET_NAMES, STREET_IDS, _LIGHT, stride=32
        ),
        "r50-fpn": ModelInfo("embedmask", "r50-fpn", COCO_NAMES, COCO_IDS, _PUBLISHED, stride=32),
        "r101-fpn": ModelInfo("embedmask", "r101-fpn", COCO_NAMES, COCO_IDS, _PUBLISHED, stride=32),
    },
    build=build,
    convert=convert,
    published={
        "r50-fpn": "github.com/yinghdb/EmbedMask (embed_mask_R50_1x)",
        "r101-fpn": "github.com/yinghdb/EmbedMask (embed_mask_R101_ms_3x)",
    },
)
