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
from torchvision.models.detection.faster_rcnn import TwoMLPHead

from segcli.types import Size, Targets
from segcli_blocks.rcnn import box_head
from segcli_blocks.rcnn.box_coder import clip, decode
from segcli_blocks.rcnn.box_head import Detections, agnostic_box_predictor
from segcli_blocks.rcnn.conventions import Conventions
from segcli_blocks.rcnn.losses import box_losses
from segcli_blocks.rcnn.sampler import Regions
from segcli_blocks.rcnn.two_stage import RoIHeads, fpn_heads
from segcli_blocks.segmenter import Selection
from segcli_cascade.targets import stage_targets

# Stage by stage: the weights of the deltas, and the least IoU with an object.
WEIGHTS = ((10.0, 10.0, 5.0, 5.0), (20.0, 20.0, 10.0, 10.0), (30.0, 30.0, 15.0, 15.0))
LEAST = (0.5, 0.6, 0.7)


class CascadeHeads(RoIHeads):
    """Mask R-CNN's heads, but lists of three box heads and of three box predictors, each with one
    box for all categories."""

    def __init__(
        self, categories: int, *, width: int, hidden: int, conventions: Conventions
    ) -> None:
        positions = categories + 1
        _, _, mask_head, mask_predictor = fpn_heads(positions, width=width, hidden=hidden)
        super().__init__(
            nn.ModuleList(TwoMLPHead(width * 7 * 7, hidden) for _ in LEAST),
            nn.ModuleList(agnostic_box_predictor(hidden, positions) for _ in LEAST),
            mask_head,
            mask_predictor,
            conventions=conventions,
            classes=range(1, positions),
        )

    def stage(
        self, number: int, maps: Sequence[Tensor], boxes: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Boxes per image -> class logits (N, K) and deltas (N, 4) of one stage, float32.

        The features get a third of the gradient of each of the three stages.
        """
        features = _Scaled.apply(self.box_pool(maps[:4], boxes), 1 / len(LEAST))
        head, predictor = (
            layers.get_submodule(str(number)) for layers in (self.box_head, self.box_predictor)
        )
        logits, deltas = predictor(head(features))
        return logits.float(), deltas.float()

    def refined(
        self, number: int, deltas: Tensor, boxes: Sequence[Tensor], contents: Sequence[Size]
    ) -> list[Tensor]:
        """The boxes (n_b, 4) per image that deltas (N, 4) of a stage make of its boxes."""
        moved = decode(deltas.detach(), torch.cat(list(boxes)), WEIGHTS[number])[:, 0]
        each = moved.split([len(b) for b in boxes])
        return [clip(box, content) for box, content in zip(each, contents, strict=True)]

    def detect(
        self,
        maps: Sequence[Tensor],
        proposals: Sequence[Tensor],
        contents: Sequence[Size],
        selection: Selection,
    ) -> list[Detections]:
        """See RoIHeads: the mean of the three stages' probabilities, and the last one's boxes."""
        boxes, scores = list(proposals), []
        for number in range(len(LEAST)):
            logits, deltas = self.stage(number, maps, boxes)
            scores.append(logits.softmax(-1)[:, self.classes])
            if number < len(LEAST) - 1:
                boxes = self.refined(number, deltas, boxes, contents)
        counts = [len(b) for b in boxes]
        mean = torch.stack(scores).mean(0)
        each = zip(mean.split(counts), deltas.split(counts), boxes, contents, strict=True)
        return [
            box_head.detect(
                *image, positions=None, conventions=self.conventions, selection=selection,
                weights=WEIGHTS[-1],
            )
            for image in each
        ]  # fmt: skip

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
