"""The variants of the family and how each is built."""

from __future__ import annotations

from torch import nn

from segcli.types import ModelInfo
from segcli_blocks.darknet import Darknet
from segcli_blocks.deform import deform
from segcli_blocks.normalize import Normalize
from segcli_blocks.resnet import ResNet
from segcli_yolact.heads import Anchors, Rescore
from segcli_yolact.model import YOLACT, Options

BASES = (24, 48, 96, 192, 384)  # px: the levels' anchors on a canvas of 550 px
_CANVAS = 550
_EVERY = {"plus-r50": 1, "plus-r101": 3}  # every n-th block is deformable


def build(info: ModelInfo) -> YOLACT:
    """A model with random weights for any variant of the family."""
    plus = info.variant in _EVERY
    body: Darknet | ResNet
    if info.variant == "darknet53":
        body = Darknet()
    else:
        body = ResNet(101 if info.variant.endswith("r101") else 50, nn.BatchNorm2d)
    if isinstance(body, ResNet) and plus:
        deform(body, every=_EVERY[info.variant])
    model = YOLACT(
        info, body, inputs=body.channels[1:], width=256, prototypes=32,
        options=Options(anchors_for(info.resize.long, plus=plus)),
        normalize=Normalize((0.0,) * 3, (255.0,) * 3) if isinstance(body, Darknet) else None,
    )  # fmt: skip
    if plus:
        model.rescore = Rescore(len(info.categories))
    model.initialise()
    return model


def anchors_for(side: int, *, plus: bool) -> Anchors:
    """Anchors that grow with the canvas's longer side, px; the authors' first models cut them to
    whole px."""
    share = side / _CANVAS
    if not plus:
        return Anchors(tuple((float(int(base * share)),) for base in BASES))
    steps = [2 ** (i / 3) for i in range(3)]
    return Anchors(tuple(tuple(base * share * s for s in steps) for base in BASES), square=False)
