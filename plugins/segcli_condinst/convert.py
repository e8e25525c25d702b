"""Convert the authors' checkpoints to segcli's names."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from segcli.types import ModelInfo
from segcli_blocks.checkpoint_names import Rules, bgr_to_rgb, fitting, rename
from segcli_blocks.checkpoints import adelaidet
from segcli_condinst.variants import build

RULES: Rules = (
    (r"mask_head\.sizes_of_interest", "sizes_of_interest"),
    (r"mask_head\._iter", ""),  # how long it was trained
    *adelaidet.RULES,
)


def convert(state: Mapping[str, Tensor], info: ModelInfo) -> dict[str, Tensor]:
    """The checkpoint's tensors under the names of the variant's model.

    Raises a UsageError that names the first differences when it is another model's.
    """
    return fitting(renamed(state), info, build)


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' names as ours, whatever the sizes; BGR filters become RGB ones."""
    return bgr_to_rgb(rename(state, RULES))
