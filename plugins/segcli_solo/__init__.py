"""SOLO: objects by where they are; a cell of a grid tells the class and the mask of its object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from segcli.categories import COCO_IDS, COCO_NAMES
from segcli.plugin import Family, Segmenter
from segcli.types import ModelInfo, Resize

if TYPE_CHECKING:
    from torch import Tensor

_FULL = Resize(short=800, long=1333, antialias=False)
_LIGHT = Resize(short=448, long=768, antialias=False)
_SIZES = {
    "solov2-light-r18": _LIGHT,
    "solov2-light-r50": _LIGHT,
    "solov2-r50": _FULL,
    "solov2-r101": _FULL,
    "solo-r50": _FULL,
    "decoupled-r50": _FULL,
    "decoupled-light-r50": Resize(short=512, long=852, antialias=False),
}


def build(info: ModelInfo) -> Segmenter:
    """A model with random weights."""
    from segcli_solo.variants import build

    return build(info)


def convert(state: Mapping[str, Tensor], info: ModelInfo) -> dict[str, Tensor]:
    """A published checkpoint's tensors under our names; see segcli_solo.convert."""
    from segcli_solo.convert import convert

    return convert(state, info)


FAMILY = Family(
    name="solo",
    variants={
        variant: ModelInfo("solo", variant, COCO_NAMES, COCO_IDS, resize, stride=32)
        for variant, resize in _SIZES.items()
    },
    build=build,
    convert=convert,
    published={
        "solov2-light-r18": "github.com/WXinlong/SOLO (SOLOv2_Light_448_R18_3x)",
        "solov2-light-r50": "github.com/WXinlong/SOLO (SOLOv2_Light_448_R50_3x)",
        "solov2-r50": "github.com/WXinlong/SOLO (SOLOv2_R50_3x)",
        "solov2-r101": "github.com/WXinlong/SOLO (SOLOv2_R101_3x)",
        "solo-r50": "github.com/WXinlong/SOLO (SOLO_R50_3x)",
        "decoupled-r50": "github.com/WXinlong/SOLO (DECOUPLED_SOLO_R50_3x)",
        "decoupled-light-r50": "github.com/WXinlong/SOLO (DECOUPLED_SOLO_LIGHT_R50_3x)",
    },
)
