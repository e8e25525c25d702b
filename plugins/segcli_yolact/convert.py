"""Convert the authors' checkpoints to segcli's names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from segcli.types import ModelInfo
from segcli_blocks.checkpoint_names import fitting, rename
from segcli_yolact.variants import build

_RESNET = tuple((rf"backbone\.layers\.{i}\.(.+)", rf"body.layer{i + 1}.\1") for i in range(4))
_REST = (
    (r"backbone\.(.+)", r"body.\1"),
    # The authors count from the coarsest level.
    *((rf"fpn\.lat_layers\.{i}\.(\w+)", rf"fpn.lateral.{2 - i}.\1") for i in range(3)),
    *((rf"fpn\.pred_layers\.{i}\.(\w+)", rf"fpn.output.{2 - i}.\1") for i in range(3)),
    (r"fpn\.downsample_layers\.([01])\.(\w+)", r"fpn.down.\1.\2"),
    (r"proto_net\.(.+)", r"prototypes.\1"),
    (r"prediction_layers\.0\.upfeature\.0\.(\w+)", r"head.first.\1"),
    (r"prediction_layers\.0\.bbox_layer\.(\w+)", r"head.boxes.\1"),
    (r"prediction_layers\.0\.conf_layer\.(\w+)", r"head.classes.\1"),
    (r"prediction_layers\.0\.mask_layer\.(\w+)", r"head.coefficients.\1"),
    (r"semantic_seg_conv\.(\w+)", r"semantic.\1"),
    (r"maskiou_net\.maskiou_net\.(.+)", r"rescore.\1"),
)  # fmt: skip

# Left over in old files; the authors' own loader deletes them, too.
_STALE = re.compile(r"backbone\.layer\d\..+|fpn\.downsample_layers\.([2-9]|\d\d+)\..+")


def convert(state: Mapping[str, Tensor], info: ModelInfo) -> dict[str, Tensor]:
    """The checkpoint's tensors under the names of the variant's model.

    Raises a UsageError that names the first differences.
    """
    return fitting(renamed(state), info, build)


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' names as ours, whatever the sizes."""
    kept = {k.removeprefix("module."): v for k, v in state.items()}
    darknet = "backbone._preconv.0.weight" in kept
    rules = _REST if darknet else _RESNET + _REST  # Darknet's stages keep their names
    return rename({k: v for k, v in kept.items() if not _STALE.fullmatch(k)}, rules)
