"""AdelaiDet's names: detectron2's body and pyramid from P3 on, and FCOS as `fcos`."""

from __future__ import annotations

from segcli_blocks.checkpoint_names import Rules
from segcli_blocks.checkpoints import detectron2

RULES: Rules = (
    *detectron2.BODY,
    *detectron2.pyramid(3),
    (r"backbone\.top_block\.(.+)", r"backbone.fpn.extra_blocks.\1"),
    (r"proposal_generator\.fcos_head\.ctrness\.(\w+)", r"fcos.centerness.\1"),
    (r"proposal_generator\.fcos_head\.(.+)", r"fcos.\1"),
    *detectron2.BUFFERS,
)
