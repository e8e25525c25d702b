"""Convert detectron2's Cascade Mask R-CNN and mmdetection 1's HTC to segcli's names."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from segcli.types import ModelInfo
from segcli_blocks import efficientnet_lite
from segcli_blocks.checkpoint_names import Rules, bgr_to_rgb, fitting, rename
from segcli_blocks.checkpoints import detectron2, mmdet
from segcli_cascade.variants import build

RULES: Rules = (
    *detectron2.BUFFERS,
    *detectron2.BODY,
    *detectron2.pyramid(2),
    *detectron2.RPN,
    (r"roi_heads\.box_head\.(\d)\.fc1\.(\w+)", r"roi_heads.box_head.\1.fc6.\2"),
    (r"roi_heads\.box_head\.(\d)\.fc2\.(\w+)", r"roi_heads.box_head.\1.fc7.\2"),
    *detectron2.MASK_HEAD,
)
HTC_RULES: Rules = (
    *mmdet.BODY,
    *mmdet.NECK,
    *mmdet.RPN,
    (r"bbox_head\.(\d)\.shared_fcs\.0\.(\w+)", r"roi_heads.box_head.\1.fc6.\2"),
    (r"bbox_head\.(\d)\.shared_fcs\.1\.(\w+)", r"roi_heads.box_head.\1.fc7.\2"),
    (r"bbox_head\.(\d)\.fc_cls\.(\w+)", r"roi_heads.box_predictor.\1.cls_score.\2"),
    (r"bbox_head\.(\d)\.fc_reg\.(\w+)", r"roi_heads.box_predictor.\1.bbox_pred.\2"),
    (r"mask_head\.0\.conv_res\..*", ""),  # nothing comes before the first head: never used
    (r"mask_head\.(.+)\.conv\.(\w+)", r"roi_heads.mask_head.\1.\2"),
    (r"mask_head\.(.+)", r"roi_heads.mask_head.\1"),
    (r"semantic_head\.(.+)\.conv\.(\w+)", r"semantic_head.\1.\2"),
)


def convert(state: Mapping[str, Tensor], info: ModelInfo) -> dict[str, Tensor]:
    """The checkpoint's tensors under the names of the variant's model.

    An ImageNet EfficientNet-Lite gives only the body of `lite2`, as a beginning for training.
    Raises a UsageError that names the first differences when it is another model's.
    """
    if info.variant == "lite2" and efficientnet_lite.is_imagenet(state):
        return efficientnet_lite.from_imagenet(state, "backbone.body.")
    ours = renamed_htc if info.variant.startswith("htc-") else renamed
    return fitting(ours(state), info, build)


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """detectron2's names as ours, whatever the sizes; background first, filters for RGB."""
    return bgr_to_rgb(detectron2.background_first(rename(state, RULES)))


def renamed_htc(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """mmdetection's names as ours, whatever the sizes."""
    return rename(state, HTC_RULES)
