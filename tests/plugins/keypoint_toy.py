"""Keypoint R-CNN, narrower than its published weights."""

from dataclasses import replace

from segcli.models.registry import families
from segcli.types import ModelInfo
from segcli_blocks.backbone import p2_to_p6
from segcli_blocks.mobilenet import MobileNetV2
from segcli_maskrcnn.keypoints import KeypointRCNN, assemble

_WHOLE = families()["maskrcnn"]
_VARIANT = "keypoint-r50-fpn"
FAMILY = replace(_WHOLE, variants={_VARIANT: _WHOLE.variants[_VARIANT]}, published={})


def build(info: ModelInfo) -> KeypointRCNN:
    return assemble(info, p2_to_p6(MobileNetV2(), 32), width=32, hidden=64, channels=32, depth=2)
