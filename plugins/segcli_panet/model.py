"""PANet (Liu et al., CVPR 2018): the second stage of Mask R-CNN on features of all levels.

Letters as in rcnn/two_stage.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor

from segcli_blocks.rcnn.conventions import Conventions
from segcli_blocks.rcnn.two_stage import RoIHeads
from segcli_panet.heads import LEVELS, AllLevels, BoxHead, MaskHead


class PANetHeads(RoIHeads):
    """Mask R-CNN's heads, but regions are pooled from all levels and masks have a fully connected
    path."""

    replaced = frozenset({"box", "mask"})

    def __init__(
        self, categories: int, *, width: int, hidden: int, groups: int, conventions: Conventions
    ) -> None:
        positions = categories + 1
        super().__init__(
            BoxHead(width, hidden, groups),
            FastRCNNPredictor(hidden, positions),
            MaskHead(width, positions, groups),
            nn.Identity(),
            conventions=conventions,
            classes=range(1, positions),
        )
        self.box_pool = AllLevels(7, conventions)
        self.mask_pool = AllLevels(14, conventions)

    def mask_features(self, maps: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
        """Boxes per image -> what the mask head sees (L, N, width, 14, 14)."""
        pooled: Tensor = self.mask_pool(maps[:LEVELS], boxes)
        return pooled
