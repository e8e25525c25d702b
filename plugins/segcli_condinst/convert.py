"""The authors' checkpoints under our names."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from segcli.types import ModelInfo
from segcli_blocks.checkpoint_names import check, rename
from segcli_condinst.variants import build

_UP = r"backbone\.bottom_up\."
RULES = (
    (_UP + r"stem\.conv1\.weight", "backbone.body.conv1.weight"),
    (_UP + r"stem\.conv1\.norm\.(\w+)", r"backbone.body.bn1.\1"),
    (_UP + r"res(\d)\.(\d+)\.conv(\d)\.weight", r"backbone.body.layer<\1>.\2.conv\3.weight"),
    (_UP + r"res(\d)\.(\d+)\.conv(\d)\.norm\.(\w+)", r"backbone.body.layer<\1>.\2.bn\3.\4"),
    (_UP + r"res(\d)\.0\.shortcut\.weight", r"backbone.body.layer<\1>.0.downsample.0.weight"),
    (_UP + r"res(\d)\.0\.shortcut\.norm\.(\w+)", r"backbone.body.layer<\1>.0.downsample.1.\2"),
    (r"backbone\.fpn_lateral(\d)\.(\w+)", r"backbone.fpn.inner_blocks.{\1}.0.\2"),
    (r"backbone\.fpn_output(\d)\.(\w+)", r"backbone.fpn.layer_blocks.{\1}.0.\2"),
    (r"backbone\.top_block\.(.+)", r"backbone.fpn.extra_blocks.\1"),
    (r"proposal_generator\.fcos_head\.ctrness\.(\w+)", r"fcos.centerness.\1"),
    (r"proposal_generator\.fcos_head\.(.+)", r"fcos.\1"),
    (r"mask_head\.sizes_of_interest", "sizes_of_interest"),
    (r"mask_head\._iter", ""),  # how long it was trained
    (r"pixel_(mean|std)", ""),
)


def convert(state: Mapping[str, Tensor], info: ModelInfo) -> dict[str, Tensor]:
    """The checkpoint's tensors under the names of the variant's model.

    Raises a UsageError that names the first differences when it is another model's.
    """
    with torch.device("meta"):  # names and shapes without the numbers
        expected = build(info).state_dict()
    found = renamed(state)
    check(found, expected, info, published=state)
    return found


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' names as ours, whatever the sizes; BGR filters become RGB ones."""
    found = rename(state, RULES)
    first = "backbone.body.conv1.weight"
    if first in found:
        found[first] = found[first].flip(1)
    return found
