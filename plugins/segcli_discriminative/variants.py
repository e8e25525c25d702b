"""The variants of the family and how each is built."""

from __future__ import annotations

from segcli.types import ModelInfo
from segcli_blocks.backbone import p2_to_p5
from segcli_blocks.mobilenet import MobileNetV2
from segcli_blocks.normalize import IMAGENET, SYMMETRIC, Normalize
from segcli_blocks.resnet import ResNet, frozen_norm
from segcli_blocks.semantic import Merged
from segcli_discriminative.model import Discriminative, Heads, Options

DIMENSIONS = 8  # as in the paper's Cityscapes runs


def build(info: ModelInfo) -> Discriminative:
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
    dimensions: int = DIMENSIONS,
    normalize: Normalize | None = None,
    options: Options | None = None,
) -> Discriminative:
    """The network on any body; pyramid and heads have `width` channels."""
    return Discriminative(
        info,
        backbone=p2_to_p5(body, width),
        merged=Merged(width, width),
        heads=Heads(width, len(info.categories), width=width, dimensions=dimensions),
        normalize=normalize or Normalize(*IMAGENET),
        options=options or Options(),
    )
