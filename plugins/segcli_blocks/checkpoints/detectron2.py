"""detectron2's names: a ResNet and a pyramid under `backbone`, both stages of Mask R-CNN.

Without a pyramid the ResNet itself is the backbone, and its last stage may be in the second stage.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

from segcli_blocks.checkpoint_names import Rules, shifted

_UP = r"backbone\.(?:bottom_up\.)?"
BODY: Rules = (
    (_UP + r"stem\.conv1\.weight", "backbone.body.conv1.weight"),
    (_UP + r"stem\.conv1\.norm\.(\w+)", r"backbone.body.bn1.\1"),
    (
        _UP + r"res(\d)\.(\d+)\.conv(\d)\.weight",
        shifted("backbone.body.layer{}.{}.conv{}.weight", 1),
    ),
    (
        _UP + r"res(\d)\.(\d+)\.conv(\d)\.norm\.(\w+)",
        shifted("backbone.body.layer{}.{}.bn{}.{}", 1),
    ),
    (
        _UP + r"res(\d)\.0\.shortcut\.weight",
        shifted("backbone.body.layer{}.0.downsample.0.weight", 1),
    ),
    (
        _UP + r"res(\d)\.0\.shortcut\.norm\.(\w+)",
        shifted("backbone.body.layer{}.0.downsample.1.{}", 1),
    ),
)
RES5: Rules = (
    (r"roi_heads\.res5\.(\d)\.conv(\d)\.norm\.(\w+)", r"roi_heads.res5.\1.bn\2.\3"),
    (r"roi_heads\.res5\.0\.shortcut\.weight", "roi_heads.res5.0.downsample.0.weight"),
    (r"roi_heads\.res5\.0\.shortcut\.norm\.(\w+)", r"roi_heads.res5.0.downsample.1.\1"),
)

# Old files hold these.
BUFFERS: Rules = ((r"pixel_(mean|std)|proposal_generator\.anchor_generator\..*", ""),)

RPN: Rules = (
    (r"proposal_generator\.rpn_head\.conv\.(\w+)", r"rpn.head.conv.0.0.\1"),
    (r"proposal_generator\.rpn_head\.objectness_logits\.(\w+)", r"rpn.head.cls_logits.\1"),
    (r"proposal_generator\.rpn_head\.anchor_deltas\.(\w+)", r"rpn.head.bbox_pred.\1"),
)
BOX_HEAD: Rules = (
    (r"roi_heads\.box_head\.fc1\.(\w+)", r"roi_heads.box_head.fc6.\1"),
    (r"roi_heads\.box_head\.fc2\.(\w+)", r"roi_heads.box_head.fc7.\1"),
)
MASK_HEAD: Rules = (
    (r"roi_heads\.mask_head\.mask_fcn(\d)\.(\w+)", shifted("roi_heads.mask_head.{}.0.{}", 1)),
    (r"roi_heads\.mask_head\.deconv\.(\w+)", r"roi_heads.mask_predictor.conv5_mask.\1"),
    (r"roi_heads\.mask_head\.predictor\.(\w+)", r"roi_heads.mask_predictor.mask_fcn_logits.\1"),
)


def pyramid(finest: int) -> Rules:
    """The lateral and the output convolutions of P`finest` and coarser levels."""
    return (
        (
            r"backbone\.fpn_lateral(\d)\.(\w+)",
            shifted("backbone.fpn.inner_blocks.{}.0.{}", finest),
        ),
        (
            r"backbone\.fpn_output(\d)\.(\w+)",
            shifted("backbone.fpn.layer_blocks.{}.0.{}", finest),
        ),
    )


def background_first(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Class logits with the background first instead of last; boxes and masks of each class with a
    position for the background, which detectron2 has not."""
    for name, tensor in state.items():
        if re.fullmatch(r"roi_heads\.box_predictor\.(\d\.)?cls_score\.\w+", name):
            state[name] = torch.cat((tensor[-1:], tensor[:-1]))
        elif name.startswith("roi_heads.box_predictor.bbox_pred."):
            state[name] = torch.cat((torch.zeros_like(tensor[:4]), tensor))
        elif name.startswith("roi_heads.mask_predictor.mask_fcn_logits."):
            state[name] = torch.cat((torch.zeros_like(tensor[:1]), tensor))
    return state
