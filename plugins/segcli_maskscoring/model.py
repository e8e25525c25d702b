"""Mask Scoring R-CNN (Huang et al., CVPR 2019): the second stage of Mask R-CNN, with mask scores.

A mask's score is that of its class times the IoU that the network estimates for it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from segcli.types import Targets
from segcli_blocks.rcnn.conventions import Conventions
from segcli_blocks.rcnn.losses import mask_loss, mask_targets
from segcli_blocks.rcnn.mask_head import at_class
from segcli_blocks.rcnn.sampler import Regions
from segcli_blocks.rcnn.two_stage import RoIHeads
from segcli_maskscoring.heads import MaskIoU
from segcli_maskscoring.losses import maskiou_loss
from segcli_maskscoring.targets import covered, maskiou_targets


class MaskScoringHeads(RoIHeads):
    """Mask R-CNN's heads and the head `maskiou`."""

    def __init__(
        self, *layers: nn.Module, maskiou: MaskIoU, conventions: Conventions,
        classes: Sequence[int], agnostic: bool = False,
    ) -> None:  # fmt: skip
        box_head, box_predictor, mask_head, mask_predictor = layers
        super().__init__(
            box_head, box_predictor, mask_head, mask_predictor, conventions=conventions,
            classes=classes, agnostic=agnostic,
        )  # fmt: skip
        self.maskiou = maskiou

    def masks(
        self, maps: Sequence[Tensor], boxes: Sequence[Tensor], labels: Tensor, scores: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """See RoIHeads; the authors' scores may leave 0 to 1, these are cut to it."""
        features, of = self.mask_features(maps, boxes), self.classes[labels]
        masks = self.mask_logits(features, of, boxes).sigmoid()
        return masks, (scores * self.fit(features, masks, of)).clamp(0, 1)

    def fit(self, features: Tensor, masks: Tensor, of: Tensor) -> Tensor:
        """The estimated IoU (N,) of masks (N, 28, 28) of the class positions `of` (N,)."""
        return at_class(self.maskiou(features, masks), of)

    def mask_losses(
        self, maps: Sequence[Tensor], positive: Sequence[Regions], targets: Sequence[Targets]
    ) -> dict[str, Tensor]:
        """`mask` and `maskiou`, whose gradient flows through the masks too."""
        features = self.mask_features(maps, [p.boxes for p in positive])
        of = self.classes[torch.cat([p.labels for p in positive])]
        logits = self.mask_logits(features, of)
        goals = mask_targets(positive, targets, logits.shape[-1], self.conventions)
        fit = self.fit(features, logits.sigmoid(), of)
        wanted = maskiou_targets(logits, goals, covered(positive, targets))
        return {"mask": mask_loss(logits, goals), "maskiou": maskiou_loss(fit, wanted)}
