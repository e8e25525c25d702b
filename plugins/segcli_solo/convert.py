"""Convert the authors' checkpoints to segcli's names."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from segcli.types import ModelInfo
from segcli_blocks.checkpoint_names import Rules, fitting, rename
from segcli_blocks.checkpoints import mmdet
from segcli_solo.variants import build


def _features() -> Rules:
    """The mask features: four layers a doubling."""
    rules = []
    for i in range(3):
        theirs = rf"mask_feat_head\.convs_all_levels\.(\d)\.conv{i}"
        ours = r"head.features.branches.\1"
        rules.append((rf"{theirs}\.conv\.weight", f"{ours}.{4 * i}.weight"))
        rules.append((rf"{theirs}\.gn\.(\w+)", rf"{ours}.{4 * i + 1}.\2"))
    return tuple(rules)


RULES: Rules = (
    *mmdet.BODY,
    *mmdet.NECK,
    *_features(),
    (r"mask_feat_head\.conv_pred\.0\.conv\.weight", "head.features.out.0.weight"),
    (r"mask_feat_head\.conv_pred\.0\.gn\.(\w+)", r"head.features.out.1.\1"),
    *mmdet.tower(r"bbox_head\.kernel_convs", "head.kernel_tower"),
    *mmdet.tower(r"bbox_head\.cate_convs", "head.category_tower"),
    *mmdet.tower(r"bbox_head\.ins_convs", "head.mask_tower"),
    *mmdet.tower(r"bbox_head\.ins_convs_x", "head.x_tower"),
    *mmdet.tower(r"bbox_head\.ins_convs_y", "head.y_tower"),
    (r"bbox_head\.d?solo_cate\.(\w+)", r"head.category.\1"),
    (r"bbox_head\.solo_kernel\.(\w+)", r"head.kernel.\1"),
    (r"bbox_head\.solo_ins_list\.(\d)\.(\w+)", r"head.masks.\1.\2"),
    (r"bbox_head\.dsolo_ins_list_([xy])\.(\d)\.(\w+)", r"head.\1_masks.\2.\3"),
)


def convert(state: Mapping[str, Tensor], info: ModelInfo) -> dict[str, Tensor]:
    """The checkpoint's tensors under the names of the variant's model.

    Raises a UsageError that names the first differences.
    """
    return fitting(renamed(state), info, build)


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' names as ours, whatever the sizes."""
    return rename({k.removeprefix("module."): v for k, v in state.items()}, RULES)
