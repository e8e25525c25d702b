"""Convert the authors' checkpoints to segcli's names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from re import Match

import torch
from torch import Tensor

from segcli.types import ModelInfo
from segcli_blocks.checkpoint_names import Rules, bgr_to_rgb, fitting, rename, shifted
from segcli_panet.variants import build


def _from_coarsest(ours: str, last: int) -> Callable[[Match[str]], str]:
    """A rule's right side for levels that the authors count from P5 as 0, and we from P2."""

    def fill(match: Match[str]) -> str:
        level, *others = match.groups()
        return ours.format(last - int(level), *others)

    return fill


_BODY = r"Conv_Body\.conv_body\.res"
_FPN = "backbone.fpn."
RULES: Rules = (
    (_BODY + r"1\.(.+)", r"backbone.body.\1"),
    (_BODY + r"(\d)\.(.+)", shifted("backbone.body.layer{}.{}", 1)),
    (r"Conv_Body\.conv_top\.(.+)", _FPN + r"inner_blocks.3.\1"),
    (
        r"Conv_Body\.topdown_lateral_modules\.(\d)\.conv_lateral\.(.+)",
        _from_coarsest(_FPN + "inner_blocks.{}.{}", 2),
    ),
    (
        r"Conv_Body\.posthoc_modules\.(\d)\.(.+)",
        _from_coarsest(_FPN + "layer_blocks.{}.{}", 3),
    ),
    (r"Conv_Body\.panet_buttomup_conv1_modules\.(.+)", r"backbone.down.\1"),
    (r"Conv_Body\.panet_buttomup_conv2_modules\.(.+)", r"backbone.out.\1"),
    (r"RPN\.FPN_RPN_conv\.(\w+)", r"rpn.head.conv.0.0.\1"),
    (r"RPN\.FPN_RPN_(cls)_score\.(\w+)", r"rpn.head.\1_logits.\2"),
    (r"RPN\.FPN_RPN_bbox_pred\.(\w+)", r"rpn.head.bbox_pred.\1"),
    (r"Box_Head\.conv1_head\.(.+)", r"roi_heads.box_head.fused.levels.\1"),
    (r"Box_Head\.convs\.(\d)\.(\w+)", lambda m: _nth("box_head.convs", m)),
    (r"Box_Head\.fc\.(\w+)", r"roi_heads.box_head.fc.\1"),
    (r"Box_Outs\.(.+)", r"roi_heads.box_predictor.\1"),
    (r"Mask_Head\.mask_conv1\.(.+)", r"roi_heads.mask_head.fused.levels.\1"),
    (r"Mask_Head\.conv_fcn\.(\d)\.(\w+)", lambda m: _nth("mask_head.convs", m)),
    (r"Mask_Head\.mask_(conv4|conv4_fc|conv5_fc)\.(.+)", r"roi_heads.mask_head.\1.\2"),
    (r"Mask_Head\.upconv\.(\w+)", r"roi_heads.mask_head.upconv.\1"),
    (r"Mask_Head\.mask_fc\.0\.(\w+)", r"roi_heads.mask_head.fc.\1"),
    (r"Mask_Outs\.(.+)", r"roi_heads.mask_head.\1"),
)


def _nth(ours: str, match: Match[str]) -> str:
    """The authors count convolution, norm and ReLU of all blocks together."""
    block, layer = divmod(int(match[1]), 3)
    return f"roi_heads.{ours}.{block}.{layer}.{match[2]}"


def convert(state: Mapping[str, Tensor], info: ModelInfo) -> dict[str, Tensor]:
    """The checkpoint's tensors under the names of the variant's model.

    Raises a UsageError that names the first differences when it is another model's.
    """
    return fitting(renamed(state), info, build)


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' names as ours, whatever the sizes; BGR filters become RGB ones.

    The body's norms are a gain and a shift, so they get a mean of 0 and a variance of 1.
    """
    ours = bgr_to_rgb(rename(state, RULES))
    for name, gain in list(ours.items()):
        stem, _, last = name.rpartition(".")
        if name.startswith("backbone.body.") and last == "weight" and gain.dim() == 1:
            ours[f"{stem}.running_mean"] = torch.zeros_like(gain)
            ours[f"{stem}.running_var"] = torch.ones_like(gain)
    return ours
