"""A classifier's body as the beginning of a model that nobody has published."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from segcli.types import ModelInfo
from segcli_blocks.checkpoint_names import check
from segcli_blocks.mobilenet import from_imagenet


def body_or_all(
    state: Mapping[str, Tensor], info: ModelInfo, build: Callable[[ModelInfo], nn.Module]
) -> dict[str, Tensor]:
    """The body's tensors, under `backbone.body.`, of torchvision's ImageNet MobileNetV2 or ResNet;
    any other state must fit the model that `build` makes of `info` completely.

    Raises a UsageError that names the first differences.
    """
    with torch.device("meta"):  # names and shapes without the numbers
        expected = build(info).state_dict()
    prefix = "backbone.body."
    found = dict(state)
    if "features.0.0.weight" in state:
        found = from_imagenet(state, prefix)
    elif "layer1.0.conv1.weight" in state:
        found = {prefix + k: v for k, v in state.items() if not k.startswith("fc.")}
        found = {k: v for k, v in found.items() if not k.endswith("num_batches_tracked")}
    else:
        check(found, expected, info, published=state)
        return found
    check(
        found,
        {k: v for k, v in expected.items() if k.startswith(prefix)},
        info,
        published=state,
    )
    return found
