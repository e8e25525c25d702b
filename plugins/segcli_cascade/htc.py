"""Hybrid Task Cascade (Chen et al., CVPR 2019), as its authors have it in mmdetection 1.

Boxes and masks are refined alternately, three times. Each mask head also gets the features of the
previous mask heads for the same region, and all heads get a semantic segmentation of the image.
Letters as in rcnn/two_stage.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segcli.types import Batch, ModelInfo, Size, Targets
from segcli_blocks.rcnn.conventions import Conventions
from segcli_blocks.rcnn.losses import box_losses, mask_loss
from segcli_blocks.rcnn.mask_head import at_class
from segcli_blocks.rcnn.roi_pool import rois_of
from segcli_blocks.rcnn.rpn import Scored
from segcli_blocks.rcnn.sampler import Regions
from segcli_blocks.rcnn.two_stage import TwoStage
from segcli_blocks.towers import init_relu
from segcli_cascade.htc_targets import resized_masks, stage_regions
from segcli_cascade.semantic import STRIDE, SemanticHead, semantic_loss
from segcli_cascade.stages import LEAST, CascadedHeads

# Stage by stage: the deviations of the deltas, and the losses' weight.
DEVIATIONS = ((0.1, 0.1, 0.2, 0.2), (0.05, 0.05, 0.1, 0.1), (0.033, 0.033, 0.067, 0.067))
WEIGHTS = tuple((1 / x, 1 / y, 1 / w, 1 / h) for x, y, w, h in DEVIATIONS)
SHARES = (1.0, 0.5, 0.25)
_LEVELS = 5  # of the pyramid; further maps are the semantic features and logits


class InformedMaskHead(nn.Module):
    """Four convolutions on a region's features and on those of the head before, then logits for
    each class position, the background included (section 3.2)."""

    def __init__(self, width: int, positions: int, *, first: bool) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, 1, 1) for _ in range(4))
        self.upsample = nn.ConvTranspose2d(width, width, 2, 2)
        self.conv_logits = nn.Conv2d(width, positions, 1)
        self.conv_res = None if first else nn.Conv2d(width, width, 1)
        init_relu(self)

    def forward(self, features: Tensor, last: Tensor | None) -> Tensor:
        """Features (N, width, 14, 14), and what the head before made of them -> the same for the
        next head."""
        x = features
        if self.conv_res is not None and last is not None:
            x = x + F.relu(self.conv_res(last))
        for conv in self.convs:
            x = F.relu(conv(x))
        return x

    def logits(self, x: Tensor) -> Tensor:
        """(N, width, 14, 14) -> (N, K, 28, 28), float32."""
        found: Tensor = self.conv_logits(F.relu(self.upsample(x)))
        return found.float()


class HTCHeads(CascadedHeads):
    """Three mask heads besides the three box heads."""

    def __init__(
        self, categories: int, *, width: int, hidden: int, conventions: Conventions
    ) -> None:
        mask_heads = nn.ModuleList(
            InformedMaskHead(width, categories + 1, first=number == 0)
            for number in range(len(LEAST))
        )
        super().__init__(
            categories, mask_heads, nn.Identity(), width=width, hidden=hidden, weights=WEIGHTS,
            conventions=conventions,
        )  # fmt: skip

    def box_features(self, maps: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
        """See CascadedHeads."""
        return self.with_semantics(self.box_pool(maps[:4], boxes), maps, boxes)

    def probabilities(self, logits: Tensor) -> Tensor:
        """See CascadedHeads: those of the stages' mean logits."""
        return logits.mean(0).softmax(-1)

    def with_semantics(
        self, pooled: Tensor, maps: Sequence[Tensor], boxes: Sequence[Tensor]
    ) -> Tensor:
        """Features (N, width, s, s) of boxes per image, plus the semantic ones in the same place;
        these are pooled at 14 x 14 and averaged where s is 7."""
        if len(maps) == _LEVELS:
            return pooled
        semantic = self.mask_pool.align(maps[_LEVELS], rois_of(boxes), 1 / STRIDE)
        return pooled + F.adaptive_avg_pool2d(semantic, pooled.shape[-1])

    def mask_features(self, maps: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
        """See RoIHeads."""
        return self.with_semantics(super().mask_features(maps, boxes), maps, boxes)

    def steps(self, features: Tensor, count: int = len(LEAST)) -> list[Tensor]:
        """What the first `count` mask heads, one after the other, make of features."""
        found: list[Tensor] = []
        for head in list(self.mask_head.children())[:count]:
            found.append(head(features, found[-1] if found else None))
        return found

    def stage_logits(self, number: int, x: Tensor, of: Tensor) -> Tensor:
        """The mask logits (N, 28, 28) of the class positions `of` (N,) from a head's features."""
        head = self.mask_head.get_submodule(str(number))
        assert isinstance(head, InformedMaskHead)
        return at_class(head.logits(x), of)

    # Inference.

    def masks(
        self, maps: Sequence[Tensor], boxes: Sequence[Tensor], labels: Tensor, scores: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """See RoIHeads: the mean of the three heads' soft masks."""
        of = self.classes[labels]
        steps = self.steps(self.mask_features(maps, boxes))
        soft = [self.stage_logits(number, x, of).sigmoid() for number, x in enumerate(steps)]
        return torch.stack(soft).mean(0), None

    # Training.

    def losses(
        self, maps: Sequence[Tensor], proposals: Sequence[Tensor], targets: Sequence[Targets],
        contents: Sequence[Size],
    ) -> dict[str, Tensor]:  # fmt: skip
        """`class`, `box` and `mask` of each stage; masks learn in the boxes of their own stage."""
        losses, boxes = {}, list(proposals)
        for number, share in enumerate(SHARES):
            sampled = self.sampled(number, boxes, targets)
            classes, box, deltas = self.box_losses_of(number, maps, [r for r, _ in sampled])
            refined = self.refined(number, deltas, [r.boxes for r, _ in sampled], contents)
            boxes = [box[~true] for box, (_, true) in zip(refined, sampled, strict=True)]
            positive = [r.at(r.drawn) for r, _ in self.sampled(number, boxes, targets)]
            mask = self.mask_loss_of(number, maps, positive, targets)
            for name, loss in (("class", classes), ("box", box), ("mask", mask)):
                losses[f"{name}{number}"] = loss * share
        return losses

    def sampled(
        self, number: int, boxes: Sequence[Tensor], targets: Sequence[Targets]
    ) -> list[tuple[Regions, Tensor]]:
        """Of each image, the regions that a stage learns from, and which are true boxes."""
        samples = self.conventions.region_samples
        return [
            stage_regions(box, target, least=LEAST[number], samples=samples)
            for box, target in zip(boxes, targets, strict=True)
        ]

    def box_losses_of(
        self, number: int, maps: Sequence[Tensor], sampled: Sequence[Regions]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Class and box loss of a stage, and its deltas (N, 4)."""
        logits, deltas = self.stage(number, maps, [r.boxes for r in sampled])
        classes, box = box_losses(
            logits, deltas, sampled, positions=self.classes, agnostic=True,
            beta=self.conventions.box_beta, weights=WEIGHTS[number], inclusive=True,
        )  # fmt: skip
        return classes, box, deltas

    def mask_loss_of(
        self, number: int, maps: Sequence[Tensor], positive: Sequence[Regions],
        targets: Sequence[Targets],
    ) -> Tensor:  # fmt: skip
        """The mask loss of a stage; the heads before it see the same regions and learn as well."""
        features = self.mask_features(maps, [p.boxes for p in positive])
        of = self.classes[torch.cat([p.labels for p in positive])]
        logits = self.stage_logits(number, self.steps(features, number + 1)[-1], of)
        return mask_loss(logits, resized_masks(positive, targets, logits.shape[-1]))


class HTC(TwoStage):
    """A two-stage detector whose second stage also sees the maps of `semantic_head`, if any."""

    def __init__(
        self,
        info: ModelInfo,
        *,
        backbone: nn.Module,
        roi_heads: HTCHeads,
        semantic_head: SemanticHead | None,
        width: int,
    ) -> None:
        super().__init__(info, backbone=backbone, roi_heads=roi_heads, width=width)
        self.semantic_head = semantic_head

    def first_stage(self, batch: Batch) -> tuple[list[Tensor], Scored]:
        """See TwoStage; semantic features and logits follow the pyramid's maps."""
        maps, scored = super().first_stage(batch)
        if self.semantic_head is None:
            return maps, scored
        logits, features = self.semantic_head(maps)
        return [*maps, features, logits], scored

    def losses_of(
        self, maps: list[Tensor], scored: Scored, batch: Batch, targets: Sequence[Targets]
    ) -> dict[str, Tensor]:
        """See TwoStage, and `semantic`."""
        losses = super().losses_of(maps, scored, batch, targets)
        if len(maps) > _LEVELS:
            losses["semantic"] = semantic_loss(maps[-1], targets, self.info)
        return losses
