"""Convert the authors' checkpoints to segcli's names."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from segcli.types import ModelInfo
from segcli_blocks import efficientnet_lite
from segcli_blocks.checkpoint_names import Rules, bgr_to_rgb, fitting, rename, shifted
from segcli_blocks.checkpoints import maskrcnn_benchmark
from segcli_maskscoring.variants import build

_MASKIOU = r"roi_heads\.maskiou\."
RULES: Rules = (
    *maskrcnn_benchmark.BODY,
    *maskrcnn_benchmark.pyramid(2),
    *maskrcnn_benchmark.RPN,
    *maskrcnn_benchmark.BOX_HEAD,
    *maskrcnn_benchmark.MASK_HEAD,
    (
        _MASKIOU + r"feature_extractor\.maskiou_fcn(\d)\.(\w+)",
        shifted("roi_heads.maskiou.convolutions.{}.{}", 1),
    ),
    (_MASKIOU + r"feature_extractor\.maskiou_(fc\d)\.(\w+)", r"roi_heads.maskiou.\1.\2"),
    (_MASKIOU + r"predictor\.maskiou\.(\w+)", r"roi_heads.maskiou.iou.\1"),
)


def convert(state: Mapping[str, Tensor], info: ModelInfo) -> dict[str, Tensor]:
    """The checkpoint's tensors under the names of the variant's model.

    An ImageNet EfficientNet-Lite gives only the body of `lite2`, as a beginning for training.
    Raises a UsageError that names the first differences when it is another model's.
    """
    if info.variant == "lite2" and efficientnet_lite.is_imagenet(state):
        return efficientnet_lite.from_imagenet(state, "backbone.body.")
    return fitting(renamed(state), info, build)


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' names as ours, whatever the sizes; BGR filters become RGB ones."""
    return bgr_to_rgb(rename({k.removeprefix("module."): v for k, v in state.items()}, RULES))
