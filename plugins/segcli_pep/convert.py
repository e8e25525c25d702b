"""Weights from elsewhere: an ImageNet body as a beginning; PEP itself has none published."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from segcli.types import ModelInfo
from segcli_blocks.checkpoint_names import check
from segcli_blocks.mobilenet import from_imagenet
from segcli_pep.variants import build

_RESNET = re.compile(r"(conv1|bn1|layer[1-4])\.")


def convert(state: Mapping[str, Tensor], info: ModelInfo) -> dict[str, Tensor]:
    """The checkpoint's tensors under the names of the variant's model.

    torchvision's MobileNetV2 or ResNet gives the body; any other checkpoint must fit completely.
    Raises a UsageError that names the first differences.
    """
    if info.variant == "mobilenet" and "features.0.0.weight" in state:
        return from_imagenet(state, "backbone.body.")
    with torch.device("meta"):  # names and shapes without the numbers
        expected = build(info).state_dict()
    if "conv1.weight" in state and "fc.weight" in state:
        body = {f"backbone.body.{k}": v for k, v in state.items() if _RESNET.match(k)}
        wanted = {k: v for k, v in expected.items() if k.startswith("backbone.body.")}
        check(body, wanted, info, published=state)
        return body
    check(state, expected, info, published=state)
    return dict(state)
