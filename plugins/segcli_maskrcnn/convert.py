"""Convert checkpoints of torchvision and detectron2, and an ImageNet body, to segcli's names."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from segcli.types import ModelInfo
from segcli_blocks import efficientnet_lite
from segcli_blocks.checkpoint_names import Rules, bgr_to_rgb, fitting, rename
from segcli_blocks.checkpoints import detectron2
from segcli_blocks.mobilenet import from_imagenet
from segcli_maskrcnn.variants import build

_DETECTRON2: Rules = (
    *detectron2.BUFFERS,
    *detectron2.BODY,
    *detectron2.RES5,
    *detectron2.pyramid(2),
    *detectron2.RPN,
    *detectron2.BOX_HEAD,
    *detectron2.MASK_HEAD,
)


def convert(state: Mapping[str, Tensor], info: ModelInfo) -> dict[str, Tensor]:
    """The checkpoint's tensors under the names of the variant's model; torchvision's are ours.

    An ImageNet MobileNetV2 or EfficientNet-Lite gives only the body, as a beginning for training;
    every other checkpoint must fit completely. Raises a UsageError with the first differences.
    """
    if info.variant == "mobilenet" and "features.0.0.weight" in state:
        return from_imagenet(state, "backbone.body.")
    if info.variant in ("lite1", "lite2") and efficientnet_lite.is_imagenet(state):
        return efficientnet_lite.from_imagenet(state, "backbone.body.")
    if any(name.startswith(("backbone.bottom_up.", "backbone.stem.")) for name in state):
        state = renamed(state)
    return fitting(state, info, build)


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """detectron2's names as ours, whatever the sizes; background first, filters for RGB."""
    return bgr_to_rgb(detectron2.background_first(rename(state, _DETECTRON2)))
