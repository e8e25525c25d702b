"""Cascade Mask R-CNN (Cai and Vasconcelos 2019), as detectron2 has it: the second stage.

Three box heads run one after another; each gets the boxes that the previous one has refined, and is
trained at a higher overlap. One mask head predicts the masks in the final boxes. Letters as in
rcnn/two_stage.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from segcli.types import Size, Targets
from segcli_blocks.rcnn.conventions import Conventions
from segcli_blocks.rcnn.losses import box_losses
from segcli_blocks.rcnn.sampler import Regions
from segcli_blocks.rcnn.two_stage import fpn_heads
from segcli_cascade.stages import LEAST, CascadedHeads
from segcli_cascade.targets import stage_targets

# Of the deltas, stage by stage.
WEIGHTS = ((10.0, 10.0, 5.0, 5.0), (20.0, 20.0, 10.0, 10.0), (30.0, 30.0, 15.0, 15.0))


class CascadeHeads(CascadedHeads):
    """Mask R-CNN's heads, but three box heads. `mask_layers`: another mask head and predictor."""

    def __init__(
        self, categories: int, *mask_layers: nn.Module, width: int, hidden: int,
        conventions: Conventions, agnostic: bool = False,
    ) -> None:  # fmt: skip
        layers = mask_layers or fpn_heads(categories + 1, width=width, hidden=hidden)[2:]
        super().__init__(
            categories, *layers, width=width, hidden=hidden, weights=WEIGHTS,
            conventions=conventions, agnostic=agnostic,
        )  # fmt: skip

    def box_features(self, maps: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
        """See CascadedHeads; the maps get a third of the gradient of each of the three stages."""
        scaled: Tensor = _Scaled.apply(self.box_pool(maps[:4], boxes), 1 / len(LEAST))
        return scaled

    def probabilities(self, logits: Tensor) -> Tensor:
        """See CascadedHeads: the mean of the stages' probabilities."""
        return logits.softmax(-1).mean(0)

    def box_losses(
        self, maps: Sequence[Tensor], sampled: Sequence[Regions], targets: Sequence[Targets],
        contents: Sequence[Size],
    ) -> dict[str, Tensor]:  # fmt: skip
        """`class` and `box` of each stage; a stage learns from all boxes of the one before."""
        losses, regions = {}, list(sampled)
        for number in range(len(LEAST)):
            logits, deltas = self.stage(number, maps, [r.boxes for r in regions])
            losses[f"class{number}"], losses[f"box{number}"] = box_losses(
                logits, deltas, regions, positions=self.classes, agnostic=True,
                beta=self.conventions.box_beta, weights=WEIGHTS[number],
            )  # fmt: skip
            if number < len(LEAST) - 1:
                boxes = self.refined(number, deltas, [r.boxes for r in regions], contents)
                regions = [
                    stage_targets(box, target, LEAST[number + 1])
                    for box, target in zip(boxes, targets, strict=True)
                ]
        return losses


class _Scaled(torch.autograd.Function):
    """The identity, whose gradient is multiplied by a number."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return gradient * ctx.scale, None
