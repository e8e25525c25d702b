"""The variants of the family and how each is built."""

from __future__ import annotations

from segcli.types import ModelInfo
from segcli_blocks.backbone import p3_to_p7
from segcli_blocks.fcos import FCOSHead
from segcli_blocks.normalize import Normalize
from segcli_blocks.resnet import ResNet, frozen_norm
from segcli_condinst.heads import MaskBranch
from segcli_condinst.model import STRIDES, CondInst, Options

# The published models see BGR; `convert` turns their first convolution round, so these are RGB.
MEAN = (123.675, 116.28, 103.53)

_DEPTHS = {"r50-fpn": 50, "r101-fpn": 101, "r101-fpn-sem": 101}


def build(info: ModelInfo) -> CondInst:
    """A model with random weights for any variant of the family."""
    return assemble(
        info,
        ResNet(_DEPTHS[info.variant], frozen_norm(), caffe=True),
        widths=(256, 128),
        semantic=info.variant.endswith("-sem"),
    )


def assemble(
    info: ModelInfo, body: ResNet, *, widths: tuple[int, int], semantic: bool = False
) -> CondInst:
    """The authors' model on a body whose stem and first stage do not learn; `widths` are those of
    pyramid and heads, and of the mask branch."""
    body.freeze_stem()
    width, branch = widths
    classes = len(info.categories)
    return CondInst(
        info,
        backbone=p3_to_p7(body, width),
        head=FCOSHead(width, classes, width=width, depth=4, levels=len(STRIDES)),
        mask_branch=MaskBranch(width, branch, classes=classes if semantic else None),
        normalize=Normalize(MEAN, (1.0,) * 3),
        options=Options(),
    )
