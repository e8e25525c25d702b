"""What both cascades share: three box heads in a row, each on the boxes that the one before it has
refined. Letters as in rcnn/two_stage.py."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import TwoMLPHead

from segcli.types import Size
from segcli_blocks.rcnn import box_head
from segcli_blocks.rcnn.box_coder import clip, decode
from segcli_blocks.rcnn.box_head import Detections, agnostic_box_predictor
from segcli_blocks.rcnn.conventions import Conventions
from segcli_blocks.rcnn.two_stage import RoIHeads
from segcli_blocks.segmenter import Selection

LEAST = (0.5, 0.6, 0.7)  # stage by stage, the least IoU with an object
Weights = tuple[float, float, float, float]  # of the deltas


class CascadedHeads(RoIHeads):
    """Lists of three box heads and of three box predictors, each with one box for all categories.
    With `agnostic` masks one mask serves every category.

    A cascade says what a stage sees (`box_features`), what the stages find together
    (`probabilities`), and with what `weights` each stage codes its boxes.
    """

    replaced = frozenset({"box", "mask"})

    def __init__(
        self,
        categories: int,
        *mask_layers: nn.Module,
        width: int,
        hidden: int,
        weights: Sequence[Weights],
        conventions: Conventions,
        agnostic: bool = False,
    ) -> None:
        positions = categories + 1
        mask_head, mask_predictor = mask_layers
        super().__init__(
            nn.ModuleList(TwoMLPHead(width * 7 * 7, hidden) for _ in LEAST),
            nn.ModuleList(agnostic_box_predictor(hidden, positions) for _ in LEAST),
            mask_head,
            mask_predictor,
            conventions=conventions,
            classes=range(1, positions),
            agnostic=agnostic,
        )
        self.weights = weights

    def box_features(self, maps: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
        """Boxes per image -> what a box head sees (N, width, 7, 7)."""
        raise NotImplementedError

    def probabilities(self, logits: Tensor) -> Tensor:
        """Class logits (stages, N, K) -> probabilities (N, K)."""
        raise NotImplementedError

    def stage(
        self, number: int, maps: Sequence[Tensor], boxes: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Boxes per image -> class logits (N, K) and deltas (N, 4) of one stage, float32."""
        head, predictor = (
            layers.get_submodule(str(number)) for layers in (self.box_head, self.box_predictor)
        )
        logits, deltas = predictor(head(self.box_features(maps, boxes)))
        return logits.float(), deltas.float()

    def refined(
        self, number: int, deltas: Tensor, boxes: Sequence[Tensor], contents: Sequence[Size]
    ) -> list[Tensor]:
        """The boxes (n_b, 4) per image that deltas (N, 4) of a stage make of its boxes."""
        inclusive, both = self.conventions.inclusive, self.conventions.mmdet1
        before = torch.cat(list(boxes))
        moved = decode(
            deltas.detach(), before, self.weights[number], inclusive=inclusive, both=both
        )
        each = moved[:, 0].split([len(b) for b in boxes])
        return [
            clip(box, content, inclusive=inclusive)
            for box, content in zip(each, contents, strict=True)
        ]

    def detect(
        self,
        maps: Sequence[Tensor],
        proposals: Sequence[Tensor],
        contents: Sequence[Size],
        selection: Selection,
    ) -> list[Detections]:
        """See RoIHeads: classes by all stages, and the last one's boxes."""
        boxes, logits = list(proposals), []
        for number in range(len(LEAST)):
            found, deltas = self.stage(number, maps, boxes)
            logits.append(found)
            if number < len(LEAST) - 1:
                boxes = self.refined(number, deltas, boxes, contents)
        scores = self.probabilities(torch.stack(logits))[:, self.classes]
        return box_head.detect_all(
            scores, deltas, boxes, contents, positions=None, conventions=self.conventions,
            selection=selection, weights=self.weights[-1],
        )  # fmt: skip
