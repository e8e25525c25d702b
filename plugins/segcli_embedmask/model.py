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
from torch import Tensor, nn

from segcli.types import Batch, Instances, ModelInfo, Size, Targets
from segcli_blocks import fcos, fcos_losses
from segcli_blocks.backbone import Backbone
from segcli_blocks.normalize import Normalize
from segcli_blocks.segmenter import BaseSegmenter
from segcli_blocks.towers import Scale, conv_at, init_normal, tower
from segcli_blocks.windows import Windows
from segcli_embedmask.losses import mask_loss
from segcli_embedmask.masks import OUTSIDE, extents_of, log_probability, upsampled, windows
from segcli_embedmask.targets import Learning, best_proposals, truth_of

PIXELS = 100.0  # px: one unit of the embeddings' two spatial dimensions
PRIOR_DISTANCE = 2.0  # at first, the probability is 1/2 at this distance


@dataclass(frozen=True, slots=True)
class Options:
    """What the authors' configuration leaves open; the defaults are theirs."""

    sizes: tuple[float, ...] = (64, 128, 256, 512)  # px: limits between the levels' objects
    per_level: int = 1000  # candidates kept before suppression
    iou: float = 0.6  # above which a detection suppresses another of its class
    mask_score: float = 0.53  # the probability above which a pixel belongs to the mask
    fixed_margin: bool = False  # every margin is that of PRIOR_DISTANCE
    learning: Learning = Learning()


class Head(nn.Module):
    """FCOS and the embeddings; `dims` = D, of which the first two are x and y."""

    strides = (8, 16, 32, 64, 128)

    def __init__(
        self, inputs: int, classes: int, *, width: int, depth: int, dims: int = 16
    ) -> None:
        super().__init__()
        levels = len(self.strides)
        self.mask_tower = tower(inputs, width, depth)
        self.pixel_spatial = nn.Conv2d(width, 2, 3, padding=1)
        self.pixel_other = nn.Conv2d(width, dims - 2, 3, padding=1)
        self.proposal_spatial = nn.Conv2d(width, 2, 3, padding=1)
        self.proposal_other = nn.Conv2d(width, dims - 2, 3, padding=1)
        self.proposal_margin = nn.Conv2d(width, dims, 3, padding=1)
        self.margin_scales = nn.ModuleList(Scale() for _ in range(levels))
        self.position_scale = Scale()
        init_normal(self)
        assert self.proposal_margin.bias is not None
        nn.init.constant_(self.proposal_margin.bias, math.log(_fixed_margin()))
        self.fcos = fcos.FCOSHead(inputs, classes, width=width, depth=depth, levels=levels)

    def forward(self, maps: Sequence[Tensor]) -> tuple[fcos.Dense, Tensor]:
        """P3..P7 -> what every location says, and the pixel embeddings (B, D, h, w)."""
        return self.fcos(maps), self.pixels(maps[0])

    def pixels(self, finest: Tensor) -> Tensor:
        """P3 (B, inputs, h, w) -> embeddings (B, D, h, w)."""
        u = self.mask_tower(finest)
        xy = fcos.points_of([finest], self.strides[:1], ()).xy.T.reshape(2, *u.shape[-2:])
        spatial = self.pixel_spatial(u).float() + self.position_scale(xy) / PIXELS
        return torch.cat((spatial, self.pixel_other(u).float()), 1)

    def proposals(
        self, dense: fcos.Dense, points: fcos.Points, image: Tensor, index: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Embeddings and margins, each (n, D), of locations `index` (n,) of images `image` (n,)."""
        t = fcos.patches_at(dense, points, image, index)
        position = self.position_scale(points.xy[index]) / PIXELS
        spatial = conv_at(self.proposal_spatial, t).float() + position
        embedding = torch.cat((spatial, conv_at(self.proposal_other, t).float()), 1)
        raw = conv_at(self.proposal_margin, t / 32).float()
        scales = torch.cat(list(self.margin_scales.parameters()))[points.level[index]]
        margin = torch.cat((raw[:, :2] * scales[:, None], raw[:, 2:]), 1).exp()
        return embedding, margin


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

    def forward(self, batch: Batch) -> tuple[fcos.Dense, Tensor, fcos.Points]:
        """What every location says, pixel embeddings (B, D, h, w), and the locations."""
        maps = self.backbone(self.normalize(batch))
        dense, pixels = self.head(maps)
        return dense, pixels, self.points(maps)

    def points(self, maps: Sequence[Tensor]) -> fcos.Points:
        """The locations of the maps P3..P7."""
        return fcos.points_of(maps, self.head.strides, self.options.sizes)

    def proposals(
        self, dense: fcos.Dense, points: fcos.Points, image: Tensor, index: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See Head.proposals; the margins are constant where the options say so."""
        embedding, margin = self.head.proposals(dense, points, image, index)
        if self.options.fixed_margin:
            margin = torch.full_like(margin, _fixed_margin())
        return embedding, margin

    # Inference.

    @torch.inference_mode()
    def predict(
        self,
        batch: Batch,
        *,
        min_score: float,
        max_masks: int,
        categories: frozenset[int] | None = None,
    ) -> list[Instances]:
        """See segcli.plugin.Segmenter; suppression is per class at IoU 0.6."""
        dense, pixels, points = self(batch)
        found = []
        for b in range(len(pixels)):
            detections = self.detect(
                dense.image(b), points, batch.content_sizes[b], candidate=0.0,
                min_score=min_score, max_masks=max_masks, categories=categories,
            )  # fmt: skip
            image = torch.full_like(detections.index, b)
            embedding, margin = self.proposals(dense, points, image, detections.index)
            fields, where = windows(pixels[b], embedding, margin, detections.boxes)
            found.append(
                self.instances(
                    detections, fields, where, batch.content_sizes[b], batch.image_sizes[b]
                )
            )
        return found

    def detect(
        self,
        dense: fcos.Dense,
        points: fcos.Points,
        content: Size,
        *,
        candidate: float,
        min_score: float,
        max_masks: int,
        categories: frozenset[int] | None = None,
    ) -> fcos.Detections:
        """One image (B = 1), best first; `candidate`: what the class alone must be above."""
        return fcos.detect(
            dense, points, min_score=min_score, max_masks=max_masks, categories=categories,
            candidate=candidate, whole_px=content,
            per_level=self.options.per_level, iou=self.options.iou,
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


def _fixed_margin() -> float:
    """exp(-margin * PRIOR_DISTANCE^2) = 1/2."""
    return math.log(2) / PRIOR_DISTANCE**2
