"""maskrcnn-benchmark's names: a ResNet and a pyramid under `backbone`, both stages of Mask R-CNN.

Its class positions begin with the background, as ours do.
"""

from __future__ import annotations

from segcli_blocks.checkpoint_names import Rules, shifted

BODY: Rules = ((r"backbone\.body\.stem\.(conv1|bn1)\.(\w+)", r"backbone.body.\1.\2"),)
RPN: Rules = (
    (r"rpn\.anchor_generator\..*", ""),
    (r"rpn\.head\.conv\.(\w+)", r"rpn.head.conv.0.0.\1"),
)
BOX_HEAD: Rules = (
    (r"roi_heads\.box\.feature_extractor\.(fc6|fc7)\.(\w+)", r"roi_heads.box_head.\1.\2"),
    (r"roi_heads\.box\.predictor\.(.+)", r"roi_heads.box_predictor.\1"),
)
MASK_HEAD: Rules = (
    (
        r"roi_heads\.mask\.feature_extractor\.mask_fcn(\d)\.(\w+)",
        shifted("roi_heads.mask_head.{}.0.{}", 1),
    ),
    (r"roi_heads\.mask\.predictor\.(.+)", r"roi_heads.mask_predictor.\1"),
)


def pyramid(finest: int) -> Rules:
    """The convolutions of P`finest` and coarser levels; the authors count from C2 as 1."""
    first = finest - 1
    return (
        (
            r"backbone\.fpn\.fpn_inner(\d)\.(\w+)",
            shifted("backbone.fpn.inner_blocks.{}.0.{}", first),
        ),
        (
            r"backbone\.fpn\.fpn_layer(\d)\.(\w+)",
            shifted("backbone.fpn.layer_blocks.{}.0.{}", first),
        ),
        (r"backbone\.fpn\.top_blocks\.(.+)", r"backbone.fpn.extra_blocks.\1"),
    )
