"""The variant of the family and how it is built."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from segcli.types import ModelInfo
from segcli_blocks.rcnn.conventions import BENCHMARK, Conventions
from segcli_blocks.rcnn.two_stage import TwoStage
from segcli_blocks.resnet import caffe_resnet
from segcli_panet.backbone import BottomUpBackbone
from segcli_panet.model import PANetHeads

# Detectron's conventions, which maskrcnn-benchmark took over; the box loss is the authors' own.
CONVENTIONS = replace(BENCHMARK, box_beta=1 / 3)


def build(info: ModelInfo) -> TwoStage:
    """The authors' e2e_panet_R-50-FPN, with random weights: a Caffe-style ResNet whose norms are
    fixed (gain and shift alone), group norms above it."""
    return assemble(info, BottomUpBackbone(caffe_resnet(50, eps=0.0)))


def assemble(
    info: ModelInfo,
    backbone: nn.Module,
    *,
    width: int = 256,
    hidden: int = 1024,
    groups: int = 32,
    conventions: Conventions = CONVENTIONS,
) -> TwoStage:
    """Heads of `width` channels and `hidden` features on any backbone of N2 to N6."""
    roi_heads = PANetHeads(
        len(info.categories), width=width, hidden=hidden, groups=groups, conventions=conventions
    )
    return TwoStage(info, backbone=backbone, roi_heads=roi_heads, width=width)
