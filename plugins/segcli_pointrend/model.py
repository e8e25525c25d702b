"""PointRend (Kirillov et al., CVPR 2020), as detectron2 has it: the mask part of the second stage.

A coarse mask of 7 x 7 cells is refined by a small network that is asked for single points: on a
grid of 28 x 28 first, then, each time the mask has doubled its side, where it is least certain.
Letters as in rcnn/two_stage.py, and P points of a box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segcli.types import Size, Targets
from segcli_blocks.rcnn.box_coder import decode
from segcli_blocks.rcnn.conventions import BOX_WEIGHTS, Conventions
from segcli_blocks.rcnn.losses import mask_loss, mask_targets
from segcli_blocks.rcnn.mask_head import at_class
from segcli_blocks.rcnn.sampler import Regions
from segcli_blocks.rcnn.two_stage import RoIHeads
from segcli_pointrend.heads import CoarseHead, PointHead
from segcli_pointrend.points import (
    PUBLISHED,
    Sampling,
    grid,
    in_image,
    least_certain,
    sampled,
    sampled_in_boxes,
    training_points,
)

_STRIDE = 4  # of P2, the only map that masks are made of


class MaskHeads(nn.Module):
    """Both heads, under the names of the published checkpoints."""

    def __init__(self, coarse_head: CoarseHead, point_head: PointHead) -> None:
        super().__init__()
        self.point_head = point_head
        self.coarse_head = coarse_head


class PointRendHeads(RoIHeads):
    """Mask R-CNN's box heads, and masks by points. Mask classes have no background: their positions
    are the labels. With `agnostic` boxes and masks one prediction serves every class."""

    mask_head: MaskHeads

    replaced = frozenset({"mask"})

    def __init__(
        self,
        box_head: nn.Module,
        box_predictor: nn.Module,
        mask_head: MaskHeads,
        *,
        conventions: Conventions,
        classes: Sequence[int],
        agnostic: bool = False,
        sampling: Sampling = PUBLISHED,
    ) -> None:
        super().__init__(
            box_head, box_predictor, mask_head, nn.Identity(), conventions=conventions,
            classes=classes, agnostic=agnostic,
        )  # fmt: skip
        self.sampling = sampling

    def coarse(self, finest: Tensor, boxes: Sequence[Tensor]) -> Tensor:
        """The coarse mask logits (N, C, s, s) of boxes per image, from P2 (B, width, h, w)."""
        side = 2 * self.mask_head.coarse_head.side
        points = grid(side, finest.device).expand(sum(len(b) for b in boxes), -1, -1)
        features = sampled_in_boxes(finest, boxes, points, _size(finest))
        logits: Tensor = self.mask_head.coarse_head(features.unflatten(2, (side, side)))
        return logits

    def at_points(
        self, finest: Tensor, boxes: Sequence[Tensor], coarse: Tensor, points: Tensor, of: Tensor
    ) -> Tensor:
        """The logits (N, P) of the labels `of` (N,) at points (N, P, 2) of the boxes."""
        fine = sampled_in_boxes(finest, boxes, points, _size(finest))
        logits = self.mask_head.point_head(fine, sampled(coarse, points))
        return at_class(logits, of, agnostic=self.agnostic)

    # Inference.

    def masks(
        self, maps: Sequence[Tensor], boxes: Sequence[Tensor], labels: Tensor, scores: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """See RoIHeads; 224 x 224 with the published sampling."""
        coarse = self.coarse(maps[0], boxes)
        return self.subdivided(maps[0], boxes, coarse, labels).sigmoid(), None

    def subdivided(
        self, finest: Tensor, boxes: Sequence[Tensor], coarse: Tensor, of: Tensor
    ) -> Tensor:
        """Mask logits (N, m, m) of the labels `of` by adaptive subdivision (section 3.1)."""
        side, steps = self.sampling.start(coarse.shape[-1])
        points = grid(side, finest.device).expand(len(of), -1, -1)
        logits = self.at_points(finest, boxes, coarse, points, of).unflatten(1, (side, side))
        for _ in range(steps):
            logits, points, chosen = self.doubled(logits)
            values = self.at_points(finest, boxes, coarse, points, of)
            logits = logits.flatten(1).scatter(1, chosen, values).view_as(logits)
        return logits

    def doubled(self, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (N, s, s) -> (N, 2s, 2s), and their least certain cells: centres (N, P, 2) and
        indices (N, P), row by row."""
        logits = F.interpolate(logits[:, None], scale_factor=2, mode="bilinear")[:, 0]
        chosen = least_certain(logits.flatten(1), self.sampling.points)
        return logits, grid(logits.shape[-1], logits.device)[chosen], chosen

    # Training.

    def mask_losses(
        self, maps: Sequence[Tensor], positive: Sequence[Regions], targets: Sequence[Targets]
    ) -> dict[str, Tensor]:
        """`mask` of the coarse masks and `point`; both learn in the boxes that the box head makes
        of the regions."""
        refined = self.refined(maps, positive)
        boxes, of = [r.boxes for r in refined], torch.cat([r.labels for r in refined])
        coarse = self.coarse(maps[0], boxes)
        logits = at_class(coarse, of, agnostic=self.agnostic)
        goals = mask_targets(refined, targets, coarse.shape[-1], self.conventions)
        points = training_points(logits, self.sampling)
        found = self.at_points(maps[0], boxes, coarse, points, of)
        wanted = point_targets(refined, targets, points)
        return {"mask": mask_loss(logits, goals), "point": mask_loss(found, wanted)}

    @torch.no_grad()
    def refined(self, maps: Sequence[Tensor], positive: Sequence[Regions]) -> list[Regions]:
        """The regions with the boxes that the box head decodes for their labels."""
        boxes = [p.boxes for p in positive]
        labels = torch.cat([p.labels for p in positive])
        _, deltas = self.classify(maps, boxes)
        every = decode(deltas, torch.cat(boxes), BOX_WEIGHTS)
        decoded = at_class(every, self.classes[labels], agnostic=self.agnostic)
        moved = decoded.split([len(b) for b in boxes])
        return [replace(p, boxes=box) for p, box in zip(positive, moved, strict=True)]


def point_targets(
    positive: Sequence[Regions], targets: Sequence[Targets], points: Tensor
) -> Tensor:
    """The true masks, interpolated, at points (N, P, 2) of the regions: (N, P) in 0 to 1."""
    wanted = [points.new_zeros((0, points.shape[1]))]
    counts = [len(p.boxes) for p in positive]
    for regions, target, point in zip(positive, targets, points.split(counts), strict=True):
        if len(regions.boxes):
            masks = target.masks[~target.crowd][regions.match][:, None]
            size = (masks.shape[-2], masks.shape[-1])
            wanted.append(sampled(masks, in_image(regions.boxes, point, size))[:, 0])
    return torch.cat(wanted)


def _size(finest: Tensor) -> Size:
    return finest.shape[-2] * _STRIDE, finest.shape[-1] * _STRIDE
