"""Convert checkpoints in transformers' format to segcli's names."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from segcli.types import ModelInfo
from segcli_blocks.checkpoint_names import Rules, fitting, rename
from segcli_eomt.variants import build

RULES: Rules = ((r"(.+)", r"network.\1"),)


def convert(state: Mapping[str, Tensor], info: ModelInfo) -> dict[str, Tensor]:
    """The checkpoint's tensors under the names of the variant's model.

    Raises a UsageError that names the first differences when it is another model's.
    """
    return fitting(renamed(state), info, build)


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """transformers' names as ours."""
    return rename(state, RULES)
