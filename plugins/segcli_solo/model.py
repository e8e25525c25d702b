"""SOLO (Wang et al., ECCV 2020) and SOLOv2 (NeurIPS 2020), in reading order.

The image is divided into S x S cells, on five levels. A cell predicts the class of the object with
its centre there, and the object's mask: as a channel of its own, as the product of a column's and a
row's channel, or as a kernel that convolves features of the whole image (see heads and masks).
Matrix NMS lowers the score of masks that overlap better ones.

Letters: B images, C categories, S the grid of a level, M cells of all levels (level after level,
rows first), n masks; h, w at stride 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segcli.types import Batch, Instances, ModelInfo, Targets
from segcli_blocks.nms import matrix_nms
from segcli_blocks.normalize import IMAGENET, Normalize
from segcli_blocks.segmenter import BaseSegmenter, Selection, keep_categories
from segcli_blocks.soft_masks import mean_inside
from segcli_solo.heads import STRIDES, DecoupledHead, Dense, DirectHead, DynamicHead
from segcli_solo.losses import losses
from segcli_solo.masks import windows
from segcli_solo.targets import Learning, targets_of

Head = DynamicHead | DirectHead | DecoupledHead


@dataclass(frozen=True, slots=True)
class Options:
    """What the authors' configuration leaves open; the defaults are theirs."""

    learning: Learning
    candidate: float = 0.1  # a class score that a mask is made for
    most_candidates: int = 2000  # ours, against low scores that would make masks of every cell
    before_nms: int = 500
    sigma: float | None = 2.0  # of Matrix NMS' Gaussian kernel; None: its linear kernel
    inside: float = 0.5  # the probability above which a pixel belongs to the mask


@dataclass(frozen=True, slots=True)
class Detections:
    """Masks of one image, best first: `scores`, `labels` (n,), and `soft` (n, h, w) at stride 4."""

    scores: Tensor
    labels: Tensor
    soft: Tensor

    def of(self, index: Tensor) -> Detections:
        return Detections(self.scores[index], self.labels[index], self.soft[index])


def peaks(probability: Tensor) -> Tensor:
    """(B, C, S, S) with zeros where the cell above, left, or above left has more (points NMS)."""
    most = F.max_pool2d(probability, 2, stride=1, padding=1)[:, :, :-1, :-1]
    return probability * (most == probability)


class SOLO(BaseSegmenter):
    """Backbone P2..P6, one of the heads, and how masks come out of them."""

    def __init__(
        self, info: ModelInfo, *, backbone: nn.Module, head: Head, options: Options
    ) -> None:
        super().__init__(info, Normalize(*IMAGENET))
        self.backbone = backbone
        self.head = head
        self.options = options

    def static(self, x: Tensor) -> list[Tensor]:
        """See segcli.plugin.Compilable: classes, and the maps that masks are made of."""
        dense: Dense = self.head(self.backbone(x))
        return dense.tensors

    def forward(self, batch: Batch) -> Dense:
        return self.head.dense(self.dense(batch))

    # Inference.

    def answer(self, batch: Batch, selection: Selection) -> list[Instances]:
        """The authors end with a score of 0.05 and begin with twice as much."""
        dense = self(batch)
        above = min(self.options.candidate, 2 * max(selection.min_score, 0.0))
        found = []
        for b, content in enumerate(batch.content_sizes):
            best = self.suppressed(self.detect(dense, b, selection.categories, above=above))
            best = best.of(selection.best(best.scores))
            fields, extents = windows(best.soft, content)
            found.append(
                Instances(
                    scores=best.scores,
                    labels=best.labels,
                    boxes=None,
                    fields=fields,
                    extents=extents,
                    threshold=self.options.inside,
                    strict=True,
                )
            )
        return found

    def detect(
        self, dense: Dense, b: int, categories: frozenset[int] | None = None, *, above: float
    ) -> Detections:
        """Image b before suppression: class score times the mean of the mask's soft values."""
        scores = torch.cat(
            [peaks(level[b : b + 1].sigmoid())[0].flatten(1).T for level in dense.categories]
        )  # (M, C)
        scores = keep_categories(scores, categories)
        place, label = (scores > above).nonzero(as_tuple=True)
        score = scores[place, label]
        if len(score) > self.options.most_candidates:
            best = score.topk(self.options.most_candidates).indices.sort().values
            place, label, score = place[best], label[best], score[best]
        cells, owner = place.unique(return_inverse=True)
        soft, stride = self._masks(dense, b, cells)
        mean, area = mean_inside(soft, soft > self.options.inside)
        large = (area > stride)[owner]
        owner, label, score = owner[large], label[large], (score * mean[owner])[large]
        order = score.argsort(descending=True, stable=True)[: self.options.before_nms]
        return Detections(score[order], label[order], soft[owner[order]])

    def _masks(self, dense: Dense, b: int, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Soft masks (n, h, w) of ascending cells (n,) of 0..M - 1, and their levels' strides."""
        soft, strides, first = [], [], 0
        for level, (grid, stride) in enumerate(zip(self.head.grids, STRIDES, strict=True)):
            chosen = cells[(cells >= first) & (cells < first + grid**2)] - first
            soft.append(dense.masks.soft(b, level, chosen))
            strides.append(torch.full_like(chosen, stride))
            first += grid**2
        return torch.cat(soft), torch.cat(strides)

    def suppressed(self, found: Detections) -> Detections:
        """Scores after Matrix NMS, in their new order."""
        inside = found.soft > self.options.inside
        scores = matrix_nms(inside, found.labels, found.scores, sigma=self.options.sigma)
        order = scores.argsort(descending=True, stable=True)
        return Detections(scores, found.labels, found.soft).of(order)

    # Training.

    def losses(self, batch: Batch, targets: Sequence[Targets]) -> dict[str, Tensor]:
        """See segcli.plugin.Trainable: mask and category."""
        return self.losses_of(self(batch), targets)

    def losses_of(self, dense: Dense, targets: Sequence[Targets]) -> dict[str, Tensor]:
        """Losses of the head's outputs for images with those targets."""
        options, classes = self.options.learning, dense.categories[0].shape[1]
        learnt = [targets_of(t, self.head.grids, classes, options) for t in targets]
        return losses(dense, targets, learnt, options)
