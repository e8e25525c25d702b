"""The variants of the family and how each is built."""

from __future__ import annotations

from segcli.types import ModelInfo
from segcli_blocks.backbone import p2_to_p5
from segcli_blocks.mobilenet import MobileNetV2
from segcli_blocks.normalize import IMAGENET, SYMMETRIC, Normalize
from segcli_blocks.resnet import ResNet, frozen_norm
from segcli_watershed.model import Options, Watershed


def build(info: ModelInfo) -> Watershed:
    """A model with random weights for any variant of the family."""
    if info.variant == "mobilenet":
        return assemble(info, MobileNetV2(), width=64, normalize=Normalize(*SYMMETRIC))
    body = ResNet(50, frozen_norm())
    body.freeze_stem()
    return assemble(info, body, width=128)


def assemble(
    info: ModelInfo,
    body: ResNet | MobileNetV2,
    *,
    width: int,
    normalize: Normalize | None = None,
    options: Options | None = None,
) -> Watershed:
    """The network on any body; pyramid and heads have `width` channels."""
    return Watershed(
        info,
        backbone=p2_to_p5(body, width),
        width=width,
        normalize=normalize or Normalize(*IMAGENET),
        options=options or Options(),
    )
