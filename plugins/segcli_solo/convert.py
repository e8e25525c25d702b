"""The authors' checkpoints under our names."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from segcli.types import ModelInfo
from segcli_blocks.checkpoint_names import Rules, check, rename
from segcli_solo.variants import build


def _tower(theirs: str, ours: str, *, depth: int = 7) -> Rules:
    """Their i-th convolution and its norm are our 3i-th and 3i + 1st layer."""
    for i in range(depth):
        yield rf"{theirs}\.{i}\.conv\.weight", f"{ours}.{3 * i}.weight"
        yield rf"{theirs}\.{i}\.gn\.(\w+)", rf"{ours}.{3 * i + 1}.\1"


def _features() -> Rules:
    """The mask features: four layers a doubling."""
    for i in range(3):
        theirs = rf"mask_feat_head\.convs_all_levels\.(\d)\.conv{i}"
        ours = r"head.features.branches.\1"
        yield rf"{theirs}\.conv\.weight", f"{ours}.{4 * i}.weight"
        yield rf"{theirs}\.gn\.(\w+)", rf"{ours}.{4 * i + 1}.\2"


RULES = (
    (r"backbone\.(.+)", r"backbone.body.\1"),
    (r"neck\.lateral_convs\.(\d)\.conv\.(\w+)", r"backbone.fpn.inner_blocks.\1.0.\2"),
    (r"neck\.fpn_convs\.(\d)\.conv\.(\w+)", r"backbone.fpn.layer_blocks.\1.0.\2"),
    *_features(),
    (r"mask_feat_head\.conv_pred\.0\.conv\.weight", "head.features.out.0.weight"),
    (r"mask_feat_head\.conv_pred\.0\.gn\.(\w+)", r"head.features.out.1.\1"),
    *_tower(r"bbox_head\.kernel_convs", "head.kernel_tower"),
    *_tower(r"bbox_head\.cate_convs", "head.category_tower"),
    *_tower(r"bbox_head\.ins_convs", "head.mask_tower"),
    *_tower(r"bbox_head\.ins_convs_x", "head.x_tower"),
    *_tower(r"bbox_head\.ins_convs_y", "head.y_tower"),
    (r"bbox_head\.d?solo_cate\.(\w+)", r"head.category.\1"),
    (r"bbox_head\.solo_kernel\.(\w+)", r"head.kernel.\1"),
    (r"bbox_head\.solo_ins_list\.(\d)\.(\w+)", r"head.masks.\1.\2"),
    (r"bbox_head\.dsolo_ins_list_([xy])\.(\d)\.(\w+)", r"head.\1_masks.\2.\3"),
)


def convert(state: Mapping[str, Tensor], info: ModelInfo) -> dict[str, Tensor]:
    """The checkpoint's tensors under the names of the variant's model.

    Raises a UsageError that names the first differences.
    """
    with torch.device("meta"):  # names and shapes without the numbers
        expected = build(info).state_dict()
    found = renamed(state)
    check(found, expected, info, published=state)
    return found


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' names as ours, whatever the sizes."""
    return rename({k.removeprefix("module."): v for k, v in state.items()}, RULES)
