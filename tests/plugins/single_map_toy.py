"""Mask R-CNN without a pyramid, narrower and shallower than its published weights."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from segcli.models.registry import families
from segcli.plugin import Family
from segcli.types import ModelInfo
from segcli_blocks.rcnn.two_stage import TwoStage
from segcli_blocks.resnet import Norm, ResNet, frozen_norm
from segcli_maskrcnn.single_map import SINGLE, c4, dc5

_WHOLE = families()["maskrcnn"]
_FEW = replace(SINGLE, per_level=(300, 300), proposals=(60, 60), region_samples=32)


def family(variant: str) -> Family:
    return replace(_WHOLE, variants={variant: _WHOLE.variants[variant]}, published={})


def _build(
    assemble: Callable[..., TwoStage], info: ModelInfo, norm: Norm | None = None
) -> TwoStage:
    body = ResNet(50, norm or frozen_norm(), caffe=True, width=8, blocks=(1, 1, 1, 1))
    return assemble(info, body.expect_bytes(), conventions=_FEW)


BUILD = {
    "r50-c4": partial(_build, partial(c4, width=32)),
    "r50-dc5": partial(_build, partial(dc5, width=32, hidden=64)),
}
