"""The smallest complete family: what is red, green or blue in a picture. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from segcli.errors import UsageError
from segcli.plugin import Family, Segmenter
from segcli.types import ModelInfo, Resize

if TYPE_CHECKING:
    from torch import Tensor

TINY = ModelInfo(
    family="toy",
    variant="tiny",
    categories=("red", "green", "blue"),
    category_ids=(1, 2, 7),
    resize=Resize(short=64, long=128),
    stride=32,
    default_score=0.3,
)


def build(info: ModelInfo) -> Segmenter:
    from segcli_toy.model import Toy

    return Toy(info)


def convert(published: Mapping[str, Tensor], info: ModelInfo) -> dict[str, Tensor]:
    if set(published) != {"margin"}:
        raise UsageError(f"not a toy: expected margin alone, got {sorted(published)[:5]}")
    return dict(published)


FAMILY = Family(name="toy", variants={"tiny": TINY}, build=build, convert=convert)
