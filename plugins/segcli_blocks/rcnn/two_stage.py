"""A two-stage detector with a mask head, in reading order.

Letters: B images, N regions or objects of all images together, C categories, K = C + 1 class
positions with background first (torchvision's published weights have K = 91, the gaps of the COCO
ids included).

Methods that change the second stage (Mask Scoring, PointRend, Cascade, HTC, PANet) derive from
`RoIHeads` and replace its box part (`detect`, `box_losses`), its mask part (`masks`,
`mask_losses`), or the pools.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads
from torchvision.models.detection.rpn import RPNHead

from segcli.plugin import Head
from segcli.types import Batch, Instances, ModelInfo, Size, Targets
from segcli_blocks.normalize import Normalize
from segcli_blocks.rcnn import box_head as boxes_of
from segcli_blocks.rcnn.box_coder import whole
from segcli_blocks.rcnn.box_head import Detections
from segcli_blocks.rcnn.conventions import Conventions
from segcli_blocks.rcnn.losses import box_losses, mask_loss, mask_targets
from segcli_blocks.rcnn.mask_head import (
    at_class,
    mask_predictor,
    whole_px,
    whole_px_without_rim,
)
from segcli_blocks.rcnn.roi_pool import Pooler
from segcli_blocks.rcnn.rpn import RPN, Scored
from segcli_blocks.rcnn.sampler import Regions, region_targets
from segcli_blocks.segmenter import BaseSegmenter, Selection


class RoIHeads(nn.Module):
    """The second stage, its layers under the names of the published checkpoints.

    `classes` are the positions of the categories among the K class logits. With `agnostic` boxes
    and masks one prediction serves every class. Maps are those of the pyramid, finest first.
    """

    classes: Tensor
    replaced: frozenset[str] = frozenset()
    """Of `heads`, those that a method has replaced."""

    def __init__(
        self,
        box_head: nn.Module,
        box_predictor: nn.Module,
        mask_head: nn.Module,
        mask_predictor: nn.Module,
        *,
        conventions: Conventions,
        classes: Sequence[int],
        agnostic: bool = False,
    ) -> None:
        super().__init__()
        self.box_head = box_head
        self.box_predictor = box_predictor
        self.mask_head = mask_head
        self.mask_predictor = mask_predictor
        self.conventions = conventions
        self.agnostic = agnostic
        self.box_pool = Pooler(7, conventions)
        self.mask_pool = Pooler(14, conventions)
        self.register_buffer("classes", torch.tensor(classes), persistent=False)  # (C,)
        self.compiled: dict[str, Callable[[Tensor, Sequence[int]], list[Tensor]]] = {}

    def heads(self) -> dict[str, Head]:
        """See segcli.plugin.Headed: `box` and `mask`, without those that the method replaces."""
        width = next(m for m in self.modules() if isinstance(m, nn.Conv2d)).in_channels
        shapes = {"box": (width, 7, 7), "mask": (width, 14, 14)}
        return {n: Head(partial(self.rows, n), shapes[n]) for n in shapes if n not in self.replaced}

    def rows(self, name: str, features: Tensor) -> list[Tensor]:
        """Of a head: `box`: class logits (N, K) and deltas (N, K * 4 or 4); `mask`: logits (N, K or
        1, 28, 28)."""
        if name == "box":
            return list(self.box_predictor(self.box_head(features)))
        return [self.mask_predictor(self.mask_head(features))]

    def computed(self, name: str, features: Tensor, boxes: Sequence[Tensor] | None) -> list[Tensor]:
        """What a head makes of the features (N, ...) of boxes per image; float32."""
        if name in self.compiled and boxes is not None and len(features):
            return self.compiled[name](features, [len(b) for b in boxes])
        return [y.float() for y in self.rows(name, features)]

    def classify(self, maps: Sequence[Tensor], boxes: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Boxes per image -> class logits (N, K) and deltas (N, K * 4 or 4), float32."""
        logits, deltas = self.computed("box", self.box_pool(maps[:4], boxes), boxes)
        return logits, deltas

    def mask_features(self, maps: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
        """Boxes per image -> what the mask head sees (N, width, 14, 14)."""
        pooled: Tensor = self.mask_pool(maps[:4], boxes)
        return pooled.contiguous(memory_format=torch.channels_last)

    def mask_logits(
        self, features: Tensor, of: Tensor, boxes: Sequence[Tensor] | None = None
    ) -> Tensor:
        """The mask logits (N, 28, 28) of the class positions `of` (N,), float32. With the boxes per
        image, another runtime may compute them."""
        (logits,) = self.computed("mask", features, boxes)
        return at_class(logits, of, agnostic=self.agnostic)

    # Inference.

    def detect(
        self,
        maps: Sequence[Tensor],
        proposals: Sequence[Tensor],
        contents: Sequence[Size],
        selection: Selection,
    ) -> list[Detections]:
        """For each image; suppression is per class at IoU 0.5."""
        logits, deltas = self.classify(maps, proposals)
        return boxes_of.detect_all(
            logits.softmax(-1)[:, self.classes], deltas, proposals, contents,
            positions=None if self.agnostic else self.classes,
            conventions=self.conventions, selection=selection,
        )  # fmt: skip

    def masks(
        self, maps: Sequence[Tensor], boxes: Sequence[Tensor], labels: Tensor, scores: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Of detections, per image and then all together (N,): soft masks (N, m, m) over the boxes,
        and mask scores (N,) if there are any. N > 0."""
        features = self.mask_features(maps, boxes)
        return self.mask_logits(features, self.classes[labels], boxes).sigmoid(), None

    # Training.

    def losses(
        self, maps: Sequence[Tensor], proposals: Sequence[Tensor], targets: Sequence[Targets],
        contents: Sequence[Size],
    ) -> dict[str, Tensor]:  # fmt: skip
        """Of sampled regions: `class`, `box` and `mask`."""
        sampled = self.sample_regions(proposals, targets)
        return {
            **self.box_losses(maps, sampled, targets, contents),
            **self.mask_losses(maps, [self.learned(regions) for regions in sampled], targets),
        }

    def sample_regions(
        self, proposals: Sequence[Tensor], targets: Sequence[Targets]
    ) -> list[Regions]:
        """The regions of each image that both parts learn from."""
        samples, inclusive = self.conventions.region_samples, self.conventions.inclusive
        return [
            region_targets(p, t, samples, inclusive=inclusive)
            for p, t in zip(proposals, targets, strict=True)
        ]

    def learned(self, regions: Regions) -> Regions:
        """The sampled regions that the mask part learns from: objects with an outline."""
        return regions.at(regions.drawn)

    def box_losses(
        self, maps: Sequence[Tensor], sampled: Sequence[Regions], targets: Sequence[Targets],
        contents: Sequence[Size],
    ) -> dict[str, Tensor]:  # fmt: skip
        """`class` and `box`."""
        return self.class_and_box(*self.classify(maps, [s.boxes for s in sampled]), sampled)

    def class_and_box(
        self, logits: Tensor, deltas: Tensor, sampled: Sequence[Regions]
    ) -> dict[str, Tensor]:
        """`class` and `box` of logits (N, K) and deltas (N, K * 4 or 4) of all sampled regions."""
        classes, box = box_losses(
            logits, deltas, sampled, positions=self.classes, agnostic=self.agnostic,
            beta=self.conventions.box_beta, inclusive=self.conventions.inclusive,
        )  # fmt: skip
        return {"class": classes, "box": box}

    def mask_losses(
        self, maps: Sequence[Tensor], positive: Sequence[Regions], targets: Sequence[Targets]
    ) -> dict[str, Tensor]:
        """`mask`, of the regions that are objects with an outline."""
        features = self.mask_features(maps, [p.boxes for p in positive])
        of = self.classes[torch.cat([p.labels for p in positive])]
        logits = self.mask_logits(features, of)
        goals = mask_targets(positive, targets, logits.shape[-1], self.conventions)
        return {"mask": mask_loss(logits, goals)}


def fpn_heads(
    positions: int, *, width: int = 256, hidden: int = 1024, depth: int = 4
) -> tuple[nn.Module, nn.Module, nn.Module, nn.Module]:
    """The layers of `RoIHeads` as published for FPN, with `positions` = K: two fully connected
    layers of `hidden` for the box, `depth` convolutions of `width` for the mask."""
    return (
        TwoMLPHead(width * 7 * 7, hidden),
        FastRCNNPredictor(hidden, positions),
        MaskRCNNHeads(width, (width,) * depth, 1),
        mask_predictor(width, positions),
    )


class TwoStage(BaseSegmenter):
    """Backbone (P2 to P6), region proposals, and the second stage.

    `rpn_head` None: one convolution of `width` channels, and three anchors at each place.
    """

    learns_from_boxes = True

    def __init__(
        self,
        info: ModelInfo,
        *,
        backbone: nn.Module,
        roi_heads: RoIHeads,
        rpn_head: nn.Module | None = None,
        width: int = 256,
    ) -> None:
        conventions = roi_heads.conventions
        super().__init__(info, Normalize(conventions.mean, conventions.std))
        self.backbone = backbone
        self.rpn = RPN(rpn_head or RPNHead(width, 3), conventions)
        self.roi_heads = roi_heads
        self.compiled_heads = roi_heads.compiled

    def heads(self) -> dict[str, Head]:
        """See segcli.plugin.Headed: those of the second stage."""
        return self.roi_heads.heads()

    def static(self, x: Tensor) -> list[Tensor]:
        """See segcli.plugin.Compilable: the pyramid's maps, their objectness, and their deltas."""
        maps = list(self.backbone(x))
        logits, deltas = self.rpn.head(maps)
        return [*maps, *logits, *deltas]

    def first_stage(self, batch: Batch) -> tuple[list[Tensor], Scored]:
        """The pyramid's maps, and what the proposal network finds in them."""
        found = self.dense(batch)
        levels = len(found) // 3
        maps, logits, deltas = (found[i : i + levels] for i in range(0, len(found), levels))
        canvas = batch.pixels.shape[-2], batch.pixels.shape[-1]
        return maps, self.rpn(maps, logits, deltas, canvas)

    def answer(self, batch: Batch, selection: Selection) -> list[Instances]:
        """See BaseSegmenter; suppression is per class at IoU 0.5."""
        maps, scored = self.first_stage(batch)
        proposals = self.rpn.propose(scored, batch.content_sizes)
        found = self.roi_heads.detect(maps, proposals, batch.content_sizes, selection)
        labels, scores = (torch.cat([getattr(f, n) for f in found]) for n in ("labels", "scores"))
        fields, mask_scores = maps[0].new_zeros((0, 28, 28), dtype=torch.float32), None
        if len(labels):
            boxes = [f.boxes for f in found]
            fields, mask_scores = self.roi_heads.masks(maps, boxes, labels, scores)
        return self.instances(found, fields, mask_scores, batch)

    def instances(
        self, found: Sequence[Detections], fields: Tensor, mask_scores: Tensor | None, batch: Batch
    ) -> list[Instances]:
        """Fields (N, m, m) over the boxes of all images' detections."""
        inclusive = self.roi_heads.conventions.inclusive
        counts = [len(f.labels) for f in found]
        scores = [None] * len(counts) if mask_scores is None else mask_scores.split(counts)
        answers = []
        for b, (each, field, score) in enumerate(
            zip(found, fields.split(counts), scores, strict=True)
        ):
            boxes = extents = whole(each.boxes, inclusive=inclusive)
            if inclusive:
                content, image = batch.content_sizes[b], batch.image_sizes[b]
                paste = whole_px_without_rim if self.roi_heads.conventions.mmdet1 else whole_px
                field, extents = paste(field, each.boxes, content, image)
            answers.append(
                Instances(
                    scores=each.scores, labels=each.labels, boxes=boxes, fields=field,
                    extents=extents, strict=inclusive, mask_scores=score,
                )
            )  # fmt: skip
        return answers

    def losses(self, batch: Batch, targets: Sequence[Targets]) -> dict[str, Tensor]:
        """See segcli.plugin.Trainable: objectness, proposal boxes, and the second stage's."""
        maps, scored = self.first_stage(batch)
        return self.losses_of(maps, scored, batch, targets)

    def losses_of(
        self, maps: list[Tensor], scored: Scored, batch: Batch, targets: Sequence[Targets]
    ) -> dict[str, Tensor]:
        """The losses of what the first stage has found."""
        proposals = self.rpn.propose(scored, batch.content_sizes)
        return {
            **self.rpn.losses(scored, targets),
            **self.roi_heads.losses(maps, proposals, targets, batch.content_sizes),
        }
