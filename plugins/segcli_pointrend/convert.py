"""Convert detectron2's PointRend checkpoints to segcli's names."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from segcli.types import ModelInfo
from segcli_blocks import efficientnet_lite
from segcli_blocks.checkpoint_names import Rules, bgr_to_rgb, fitting, rename
from segcli_blocks.checkpoints import detectron2
from segcli_pointrend.variants import build

_MASK = "roi_heads.mask_head"
RULES: Rules = (
    *detectron2.BUFFERS,
    *detectron2.BODY,
    *detectron2.pyramid(2),
    *detectron2.RPN,
    *detectron2.BOX_HEAD,
    # The names of files from before detectron2 merged both heads into one.
    (r"roi_heads\.mask_point_head\.(.+)", rf"{_MASK}.point_head.\1"),
    (r"roi_heads\.mask_coarse_head\.coarse_mask_(fc\d\..+)", rf"{_MASK}.coarse_head.\1"),
    (r"roi_heads\.mask_coarse_head\.(.+)", rf"{_MASK}.coarse_head.\1"),
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
    """detectron2's names as ours, whatever the sizes; background first, filters for RGB."""
    return bgr_to_rgb(detectron2.background_first(rename(state, RULES)))
