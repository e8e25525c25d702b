"""The Deep Watershed Transform: objects are what stands out of the water, cut at one level."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from segcli.categories import COCO_IDS, COCO_NAMES, STREET_IDS, STREET_NAMES
from segcli.plugin import Family, Segmenter
from segcli.types import ModelInfo, Resize

if TYPE_CHECKING:
    from torch import Tensor

_LIGHT = Resize(short=384, long=640)
_LARGE = Resize(short=800, long=1333)


def build(info: ModelInfo) -> Segmenter:
    """A model with random weights."""
    from segcli_watershed.variants import build

    return build(info)


def convert(state: Mapping[str, Tensor], info: ModelInfo) -> dict[str, Tensor]:
    """An ImageNet body as a beginning; the authors' own weights are another network's."""
    from segcli_watershed.variants import convert

    return convert(state, info)


FAMILY = Family(
    name="watershed",
    variants={
        "mobilenet": ModelInfo(
            "watershed", "mobilenet", STREET_NAMES, STREET_IDS, _LIGHT, stride=32
        ),
        "r50-fpn": ModelInfo("watershed", "r50-fpn", COCO_NAMES, COCO_IDS, _LARGE, stride=32),
    },
    build=build,
    convert=convert,
)
