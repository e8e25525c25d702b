"""torchvision's names are ours for a ResNet; its classifiers give bodies for training."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from torch import Tensor, nn

from segcli.types import ModelInfo
from segcli_blocks.checkpoint_names import fitting
from segcli_blocks.mobilenet import from_imagenet

PREFIX = "backbone.body."
_RESNET = re.compile(r"(conv1|bn1|layer[1-4])\.")


def body_of(state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """The body, under PREFIX, of an ImageNet MobileNetV2 or ResNet; None for any other state."""
    if "features.0.0.weight" in state:
        return from_imagenet(state, PREFIX)
    if "layer1.0.conv1.weight" in state:
        return {PREFIX + k: v for k, v in state.items() if _RESNET.match(k)}
    return None


def body_or_all(
    state: Mapping[str, Tensor], info: ModelInfo, build: Callable[[ModelInfo], nn.Module]
) -> dict[str, Tensor]:
    """The body of an ImageNet classifier; any other state must fit the model completely.

    Raises a UsageError that names the first differences.
    """
    body = body_of(state)
    if body is None:
        return fitting(state, info, build)
    return fitting(body, info, build, prefix=PREFIX)
