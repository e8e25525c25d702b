"""The variants of the family and how each is built."""

from __future__ import annotations

from dataclasses import replace

from segcli.types import ModelInfo
from segcli_blocks.backbone import p3_to_p7
from segcli_blocks.mobilenet import MobileNetV2
from segcli_blocks.normalize import IMAGENET, SYMMETRIC, Normalize
from segcli_blocks.resnet import ResNet, fixed_statistics
from segcli_pep.model import PEP, Options
from segcli_pep.targets import Ranges, Sampling

# [D] Roots of areas, px, that a level learns, on images of a short side of 800 px; smaller images
# have smaller objects, but below _LEAST_SHORT a level's pixels would be too coarse for them.
_RANGES: Ranges = ((0, 96), (48, 192), (96, 384), (192, 768), (384, float("inf")))
_REFERENCE_SHORT, _LEAST_SHORT = 800, 320

_DEPTHS = {"r50-fpn": 50, "r101-fpn": 101}


def build(info: ModelInfo) -> PEP:
    """A model with random weights for any variant of the family."""
    options = Options(Sampling(ranges_for(info.resize.short)))
    if info.variant == "mobilenet":
        light = replace(options, depth=2, hidden=32)
        normalize = Normalize(*SYMMETRIC)
        return assemble(info, MobileNetV2(), normalize=normalize, options=light)
    body = ResNet(_DEPTHS[info.variant], fixed_statistics)
    body.freeze_stem()
    return assemble(info, body, normalize=Normalize(*IMAGENET), options=options)


def ranges_for(short: int) -> Ranges:
    """Object sizes (px) of the five levels on images of a short side of `short` px."""
    scale = max(short, _LEAST_SHORT) / _REFERENCE_SHORT
    return tuple((low * scale, high * scale) for low, high in _RANGES)


def assemble(
    info: ModelInfo,
    body: ResNet | MobileNetV2,
    *,
    normalize: Normalize,
    options: Options,
    excavate: bool = True,
    purify: bool = True,
) -> PEP:
    """PEP on a body; without `excavate` and `purify`, the paper's baseline."""
    return PEP(
        info,
        backbone=p3_to_p7(body, options.width),
        normalize=normalize,
        options=options,
        excavate=excavate,
        purify=purify,
    )
