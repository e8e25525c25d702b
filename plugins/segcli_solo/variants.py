"""The variants of the family and how each is built."""

from __future__ import annotations

from torch import nn

from segcli.types import ModelInfo
from segcli_blocks.backbone import Backbone, p2_to_p6
from segcli_blocks.resnet import ResNet, fixed_statistics
from segcli_solo.heads import DecoupledHead, DirectHead, DynamicHead, Features
from segcli_solo.model import SOLO, Head, Options
from segcli_solo.targets import Learning

GRIDS = (40, 36, 24, 16, 12)

Ranges = tuple[tuple[float, float], ...]
_FULL: Ranges = ((1, 96), (48, 192), (96, 384), (192, 768), (384, 2048))
_LIGHT: Ranges = ((1, 56), (28, 112), (56, 224), (112, 448), (224, 896))
_DECOUPLED_LIGHT: Ranges = ((1, 64), (32, 128), (64, 256), (128, 512), (256, 2048))
_RANGES = {
    "solov2-light-r18": _LIGHT,
    "solov2-light-r50": _LIGHT,
    "decoupled-light-r50": _DECOUPLED_LIGHT,
}


def build(info: ModelInfo) -> SOLO:
    """A model with random weights for any variant of the family."""
    method, depth = info.variant.rsplit("-r", 1)
    learning = Learning(_RANGES.get(info.variant, _FULL), last_only=not method.startswith("solov2"))
    return SOLO(
        info,
        backbone=pyramid(ResNet(int(depth), fixed_statistics)),
        head=_head(method, len(info.categories)),
        options=Options(learning),
    )


def _head(method: str, classes: int) -> Head:
    if method == "solov2":
        features = Features(256, 128, 256)
        return DynamicHead(256, classes, grids=GRIDS, width=512, depth=4, features=features)
    if method == "solov2-light":
        features = Features(256, 128, 128)
        return DynamicHead(256, classes, grids=GRIDS, width=256, depth=2, features=features)
    if method == "solo":
        return DirectHead(256, classes, grids=GRIDS, width=256, depth=7)
    light = method == "decoupled-light"
    depth = 4 if light else 7
    return DecoupledHead(256, classes, grids=GRIDS, width=256, depth=depth, light=light)


def pyramid(body: ResNet, width: int = 256) -> Backbone:
    """P2 to P6; stem and first stage do not learn."""
    body.freeze_stem()
    backbone = p2_to_p6(body, width)
    for module in backbone.fpn.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.xavier_uniform_(module.weight)
    return backbone
