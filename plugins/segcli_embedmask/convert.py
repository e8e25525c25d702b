"""Convert the authors' checkpoints, and an ImageNet body, to segcli's names."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from segcli.types import ModelInfo
from segcli_blocks import efficientnet_lite
from segcli_blocks.checkpoint_names import Rules, bgr_to_rgb, fitting, rename
from segcli_blocks.checkpoints import maskrcnn_benchmark
from segcli_blocks.mobilenet import from_imagenet
from segcli_embedmask.variants import build

RULES: Rules = (
    *maskrcnn_benchmark.BODY,
    *maskrcnn_benchmark.pyramid(3),
    (r"rpn\.head\.(proposal|pixel)_(spatial|other)_embed_pred\.(\w+)", r"head.\1_\2.\3"),
    (r"rpn\.head\.proposal_margin_pred\.(\w+)", r"head.proposal_margin.\1"),
    (r"rpn\.head\.(mask_tower|margin_scales|position_scale)\.(.+)", r"head.\1.\2"),
    (r"rpn\.head\.(.+)", r"head.fcos.\1"),
)


def convert(state: Mapping[str, Tensor], info: ModelInfo) -> dict[str, Tensor]:
    """The checkpoint's tensors under the names of the variant's model.

    An ImageNet MobileNetV2 or EfficientNet-Lite gives only the body, as a beginning for training;
    every other checkpoint must fit completely. Raises a UsageError that names the first
    differences.
    """
    if info.variant == "mobilenet" and "features.0.0.weight" in state:
        return from_imagenet(state, "backbone.body.")
    if info.variant == "lite2" and efficientnet_lite.is_imagenet(state):
        return efficientnet_lite.from_imagenet(state, "backbone.body.")
    return fitting(renamed(state), info, build)


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' names as ours, whatever the sizes; BGR filters become RGB ones."""
    return bgr_to_rgb(rename({k.removeprefix("module."): v for k, v in state.items()}, RULES))
