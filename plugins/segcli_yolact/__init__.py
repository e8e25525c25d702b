"""YOLACT: an object's mask is a mixture of prototypes that the whole image shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from segcli.categories import COCO_IDS, COCO_NAMES
from segcli.plugin import Family, Segmenter
from segcli.types import ModelInfo, Resize

if TYPE_CHECKING:
    from torch import Tensor

_SQUARE = Resize(short=550, long=550, mode="stretch", antialias=False)
_VARIANTS = ("r50", "r101", "darknet53", "plus-r50", "plus-r101")


def build(info: ModelInfo) -> Segmenter:
    """A model with random weights."""
    from segcli_yolact.variants import build

    return build(info)


def convert(state: Mapping[str, Tensor], info: ModelInfo) -> dict[str, Tensor]:
    """A published checkpoint's tensors under our names; see segcli_yolact.convert."""
    from segcli_yolact.convert import convert

    return convert(state, info)


FAMILY = Family(
    name="yolact",
    variants={
        variant: ModelInfo("yolact", variant, COCO_NAMES, COCO_IDS, _SQUARE, stride=1)
        for variant in _VARIANTS
    },
    build=build,
    convert=convert,
    published={
        "r50": "github.com/dbolya/yolact (yolact_resnet50_54_800000.pth)",
        "r101": "github.com/dbolya/yolact (yolact_base_54_800000.pth)",
        "darknet53": "github.com/dbolya/yolact (yolact_darknet53_54_800000.pth)",
        "plus-r50": "github.com/dbolya/yolact (yolact_plus_resnet50_54_800000.pth)",
        "plus-r101": "github.com/dbolya/yolact (yolact_plus_base_54_800000.pth)",
    },
)
