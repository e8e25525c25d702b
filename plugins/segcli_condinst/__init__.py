"""CondInst: one stage; every object brings the weights of the small network that draws its mask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from segcli.categories import COCO_IDS, COCO_NAMES
from segcli.plugin import Family, Segmenter
from segcli.types import ModelInfo, Resize

if TYPE_CHECKING:
    from torch import Tensor

_RESIZE = Resize(short=800, long=1333)
_AUTHORS = "github.com/aim-uofa/AdelaiDet, configs/CondInst/"


def build(info: ModelInfo) -> Segmenter:
    """A model with random weights."""
    from segcli_condinst.variants import build

    return build(info)


def convert(state: Mapping[str, Tensor], info: ModelInfo) -> dict[str, Tensor]:
    """A published checkpoint's tensors under our names; see segcli_condinst.convert."""
    from segcli_condinst.convert import convert

    return convert(state, info)


FAMILY = Family(
    name="condinst",
    variants={
        variant: ModelInfo("condinst", variant, COCO_NAMES, COCO_IDS, _RESIZE, stride=32)
        for variant in ("r50-fpn", "r101-fpn", "r101-fpn-sem")
    },
    build=build,
    convert=convert,
    published={
        "r50-fpn": _AUTHORS + "MS_R_50_1x or MS_R_50_3x",
        "r101-fpn": _AUTHORS + "MS_R_101_3x",
        "r101-fpn-sem": _AUTHORS + "MS_R_101_3x_sem",
    },
)
