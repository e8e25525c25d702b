"""EmbedMask (Ying et al., IJCAI 2021), in reading order.

Every location proposes an object: class, box, centerness (FCOS), a proposal embedding and a
margin. Every pixel of the finest level has a pixel embedding. A pixel belongs to a proposal when
the embeddings are close, measured by the margin.

Letters: B images, L locations of all levels, C categories, D embedding dimensions, n detections;
h, w at stride 8.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from segcli.types import Batch, Instances, ModelInfo, Size, Targets
from segcli_blocks import fcos, fcos_losses
from segcli_blocks.backbone import Backbone
from segcli_blocks.normalize import Normalize
from segcli_blocks.segmenter import BaseSegmenter, Selection
from segcli_blocks.windows import Windows
from segcli_embedmask.heads import Head, fixed_margin
from segcli_embedmask.losses import mask_loss
from segcli_embedmask.masks import OUTSIDE, extents_of, log_probability, upsampled, windows
from segcli_embedmask.targets import Learning, best_proposals, truth_of


@dataclass(frozen=True, slots=True)
class Options:
    """What the authors' configuration leaves open; the defaults are theirs."""

    sizes: tuple[float, ...] = (64, 128, 256, 512)  # px: limits between the levels' objects
    per_level: int = 1000  # candidates kept before suppression
    iou: float = 0.6  # above which a detection suppresses another of its class
    mask_score: float = 0.53  # the probability above which a pixel belongs to the mask
    fixed_margin: bool = False  # every margin is that of heads.PRIOR_DISTANCE
    learning: Learning = Learning()


class EmbedMask(BaseSegmenter):
    """Backbone, head, and how masks come out of them."""

    def __init__(
        self,
        info: ModelInfo,
        *,
        backbone: Backbone,
        head: Head,
        normalize: Normalize,
        options: Options,
    ) -> None:
        super().__init__(info, normalize)
        self.backbone = backbone
        self.head = head
        self.options = options

    def static(self, x: Tensor) -> list[Tensor]:
        """See segcli.plugin.Compilable: the outputs at every location, and of pixels."""
        dense, pixels = self.head(self.backbone(x))
        return [*dense.tensors, pixels]

    def forward(self, batch: Batch) -> tuple[fcos.Dense, Tensor, fcos.Points]:
        """The outputs at every location, pixel embeddings (B, D, h, w), and the locations."""
        *tensors, pixels = self.dense(batch)
        dense = fcos.Dense.of(tensors)
        return dense, pixels, self.points(dense.logits)

    def points(self, maps: Sequence[Tensor]) -> fcos.Points:
        """The locations of the maps P3..P7."""
        return fcos.points_of(maps, self.head.strides, self.options.sizes)

    def proposals(
        self, dense: fcos.Dense, points: fcos.Points, image: Tensor, index: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See Head.proposals; the margins are constant with `fixed_margin`."""
        embedding, margin = self.head.proposals(dense, points, image, index)
        if self.options.fixed_margin:
            margin = torch.full_like(margin, fixed_margin())
        return embedding, margin

    # Inference.

    def answer(self, batch: Batch, selection: Selection) -> list[Instances]:
        """Suppression is per class at IoU 0.6."""
        dense, pixels, points = self(batch)
        answers = []
        sizes = zip(batch.content_sizes, batch.image_sizes, strict=True)
        for b, (content, image) in enumerate(sizes):
            found = self.detect(dense.image(b), points, selection, content)
            of = torch.full_like(found.index, b)
            embedding, margin = self.proposals(dense, points, of, found.index)
            fields, where = windows(pixels[b], embedding, margin, found.boxes)
            answers.append(self.instances(found, fields, where, content, image))
        return answers

    def detect(
        self, dense: fcos.Dense, points: fcos.Points, selection: Selection, content: Size,
        *, candidate: float = 0.0,
    ) -> fcos.Detections:  # fmt: skip
        """One image (B = 1), best first; `candidate`: what the class alone must be above."""
        per_level, iou = self.options.per_level, self.options.iou
        return fcos.detect(
            dense, points, selection, candidate=candidate, whole_px=content, per_level=per_level,
            iou=iou,
        )  # fmt: skip

    def instances(
        self, found: fcos.Detections, fields: Tensor, where: Windows, content: Size, image: Size
    ) -> Instances:
        """Boxes end one *original* px after their last pixel, as the authors write them."""
        pixel = found.boxes.new_tensor([0, 0, content[1] / image[1], content[0] / image[0]])
        return Instances(
            scores=found.scores,
            labels=found.labels,
            boxes=found.boxes + pixel,
            fields=fields,
            extents=extents_of(where, content, image),
            threshold=math.log(self.options.mask_score),
            strict=True,
            outside=OUTSIDE,
        )

    # Training.

    def losses(self, batch: Batch, targets: Sequence[Targets]) -> dict[str, Tensor]:
        """See segcli.plugin.Trainable: classes, boxes, centerness, masks."""
        dense, pixels, points = self(batch)
        options = self.options.learning
        truths = [truth_of(t, points, options) for t in targets]
        losses = fcos_losses.losses_of(dense, points, truths, targets, kind=options.overlap)
        best = [
            best_proposals(fcos.flat(dense.distances)[b].detach(), points, truth)
            for b, truth in enumerate(truths)
        ]
        image = torch.cat([torch.full_like(index, b) for b, index in enumerate(best)])
        chosen = torch.cat(best)
        embedding, margin = self.proposals(dense, points, image[chosen >= 0], chosen[chosen >= 0])
        counts = [int((index >= 0).sum()) for index in best]
        grid = upsampled(pixels)
        own = zip(grid, torch.split(embedding, counts), torch.split(margin, counts), strict=True)
        maps = [log_probability(g, e, m) for g, e, m in own]
        taken = [index >= 0 for index in best]
        return {**losses, "mask": mask_loss(maps, truths, taken, options)}
