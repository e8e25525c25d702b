"""mmdetection's names (version 1): a ResNet as `backbone`, a pyramid as `neck`, towers."""

from __future__ import annotations

from segcli_blocks.checkpoint_names import Rules

BODY: Rules = ((r"backbone\.(.+)", r"backbone.body.\1"),)
NECK: Rules = (
    (r"neck\.lateral_convs\.(\d)\.conv\.(\w+)", r"backbone.fpn.inner_blocks.\1.0.\2"),
    (r"neck\.fpn_convs\.(\d)\.conv\.(\w+)", r"backbone.fpn.layer_blocks.\1.0.\2"),
)
RPN: Rules = (
    (r"rpn_head\.rpn_conv\.(\w+)", r"rpn.head.conv.0.0.\1"),
    (r"rpn_head\.rpn_cls\.(\w+)", r"rpn.head.cls_logits.\1"),
    (r"rpn_head\.rpn_reg\.(\w+)", r"rpn.head.bbox_pred.\1"),
)


def tower(theirs: str, ours: str, *, depth: int = 7) -> Rules:
    """Their i-th convolution and its norm are the layers 3i and 3i + 1 of `towers.tower`."""
    rules = []
    for i in range(depth):
        rules.append((rf"{theirs}\.{i}\.conv\.weight", f"{ours}.{3 * i}.weight"))
        rules.append((rf"{theirs}\.{i}\.gn\.(\w+)", rf"{ours}.{3 * i + 1}.\1"))
    return tuple(rules)
