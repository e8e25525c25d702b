"""PEP: perceive objects, excavate those beside them, purify what was found twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from segcli.categories import COCO_IDS, COCO_NAMES
from segcli.plugin import Family, Segmenter
from segcli.types import ModelInfo, Resize

if TYPE_CHECKING:
    from torch import Tensor

_FULL = Resize(short=800, long=1333)
_SIZES = {"mobilenet": Resize(short=320, long=640), "r50-fpn": _FULL, "r101-fpn": _FULL}


def build(info: ModelInfo) -> Segmenter:
    """A model with random weights."""
    from segcli_pep.variants import build

    return build(info)


def convert(state: Mapping[str, Tensor], info: ModelInfo) -> dict[str, Tensor]:
    """A published checkpoint's tensors under our names; see segcli_pep.convert."""
    from segcli_pep.convert import convert

    return convert(state, info)


FAMILY = Family(
    name="pep",
    variants={
        variant: ModelInfo("pep", variant, COCO_NAMES, COCO_IDS, resize, stride=32)
        for variant, resize in _SIZES.items()
    },
    build=build,
    convert=convert,
)
