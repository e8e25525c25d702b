"""Convert an ImageNet body; there are no published weights of this network."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from segcli.types import ModelInfo
from segcli_blocks.checkpoints.torchvision import body_or_all
from segcli_watershed.variants import build


def convert(state: Mapping[str, Tensor], info: ModelInfo) -> dict[str, Tensor]:
    """torchvision's ImageNet body for the variant, or the whole model under our own names.

    Raises a UsageError that names the first differences.
    """
    return body_or_all(state, info, build)
