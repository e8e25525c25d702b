"""Proposal-free instances (De Brabandere et al. 2017), in reading order.

One head predicts the class of every cell of 4 x 4 px, another one its embedding. The cells of
a class are clustered by their embeddings; a cluster is an object. Letters: B images, C categories,
n dimensions, K objects; h, w cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from segcli.types import Batch, Instances, ModelInfo, Targets
from segcli_blocks.backbone import Backbone
from segcli_blocks.boxes import tight_boxes
from segcli_blocks.normalize import Normalize
from segcli_blocks.segmenter import BaseSegmenter, Selection, keep_categories
from segcli_blocks.semantic import STRIDE, Merged, head, semantic_loss, truth_of
from segcli_blocks.soft_masks import mean_inside
from segcli_blocks.towers import coordinates
from segcli_blocks.windows import Windows
from segcli_discriminative.losses import FORMS, Form, instance_terms, mean_terms
from segcli_discriminative.masks import Clustering, cluster, distances, margins


@dataclass(frozen=True, slots=True)
class Options:
    """What is learnt, and how it is clustered: cells are 16 px, so a single cell counts.
    `least`: cells of the smallest object."""

    form: Form = FORMS["paper"]
    clustering: Clustering = Clustering(left=4, crumb=0)
    least: int = 4


@dataclass(frozen=True, slots=True)
class Detections:
    """Objects of one image: `scores`, `labels` (K,) and `fields` (K, h, w), see `margins`."""

    scores: Tensor
    labels: Tensor
    fields: Tensor


class Heads(nn.Module):
    """Features (B, inputs, h, w) -> class logits (B, C + 1, h, w), the last one background, and
    embeddings (B, n, h, w).

    The embedding head sees where it is: two objects that look the same have no other difference.
    """

    def __init__(self, inputs: int, classes: int, *, width: int, dimensions: int) -> None:
        super().__init__()
        self.semantic = head(inputs, width, classes + 1)
        self.embedding = head(inputs + 2, width, dimensions)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        placed = torch.cat((features, coordinates(features)), 1)
        return self.semantic(features), self.embedding(placed)


class Discriminative(BaseSegmenter):
    """Backbone P2..P5, merged at stride 4, two heads, and the clustering."""

    def __init__(
        self,
        info: ModelInfo,
        *,
        backbone: Backbone,
        merged: Merged,
        heads: Heads,
        normalize: Normalize,
        options: Options,
    ) -> None:
        super().__init__(info, normalize)
        self.backbone = backbone
        self.merged = merged
        self.heads = heads
        self.options = options

    def static(self, x: Tensor) -> list[Tensor]:
        """See segcli.plugin.Compilable: class logits and embeddings."""
        return list(self.heads(self.merged(self.backbone(x))))

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        logits, embedding = self.dense(batch)
        return logits, embedding

    # Inference.

    def answer(self, batch: Batch, selection: Selection) -> list[Instances]:
        """A score is the certainty of the class times the compactness of the cluster."""
        logits, embedding = (x.float() for x in self(batch))
        answers = []
        for b, (height, width) in enumerate(batch.content_sizes):
            h, w = -(-height // STRIDE), -(-width // STRIDE)
            found = self.detect(logits[b, :, :h, :w], embedding[b, :, :h, :w], selection.categories)
            best = selection.best(found.scores)
            fields = found.fields[best]
            windows = Windows.around(tight_boxes(fields > 0), (h, w))
            answers.append(
                Instances(
                    scores=found.scores[best],
                    labels=found.labels[best],
                    boxes=None,
                    fields=windows.of(fields),
                    extents=windows.extents(STRIDE),
                    threshold=0.0,
                    strict=True,
                )
            )
        return answers

    def detect(
        self, logits: Tensor, embedding: Tensor, categories: frozenset[int] | None = None
    ) -> Detections:
        """The objects of one image, class by class, from (C + 1, h, w) and (n, h, w)."""
        probability = logits.softmax(0)
        said = probability.argmax(0)
        parts = [Detections(logits.new_zeros(0), said.new_zeros(0), logits[:0])]
        cells = said.flatten().bincount(minlength=len(logits))[:-1]  # of each category
        large = keep_categories(cells >= self.options.least, categories)
        for label in large.nonzero()[:, 0].tolist():
            parts.append(self._of_class(probability, embedding, said == label, label))
        return Detections(
            *(torch.cat([getattr(p, n) for p in parts]) for n in Detections.__slots__)
        )

    def _of_class(
        self, probability: Tensor, embedding: Tensor, inside: Tensor, label: int
    ) -> Detections:
        options = self.options.clustering
        labels, modes = cluster(embedding, inside, options)
        ids = torch.arange(1, len(modes) + 1, device=labels.device)
        members = labels == ids[:, None, None]  # (K, h, w)
        others = probability.clone()
        others[label] = 0
        surplus = probability[label] - others.amax(0)
        apart = distances(embedding, modes)
        # Compactness: 1 if all cells are on the mode, 0 if all are a bandwidth away.
        close = (1 - (apart / options.bandwidth).square()).clamp(min=0)
        compact, sizes = mean_inside(close, members)
        certain, _ = mean_inside(probability[label], members)
        fields = torch.minimum(margins(apart, options), surplus)
        kept = (sizes >= self.options.least) & (fields > 0).flatten(1).any(1)
        return Detections(
            (certain * compact)[kept], torch.full_like(ids, label)[kept], fields[kept]
        )

    # Training.

    def losses(self, batch: Batch, targets: Sequence[Targets]) -> dict[str, Tensor]:
        """See segcli.plugin.Trainable: the class of every cell, and the three terms."""
        logits, embedding = self(batch)
        classes = len(self.info.categories)
        truths = [truth_of(target, classes) for target in targets]
        learnt = zip(embedding, truths, targets, strict=True)
        terms = mean_terms(
            [instance_terms(x, t, g.labels, self.options.form) for x, t, g in learnt]
        )
        return {
            "semantic": semantic_loss(logits, truths),
            "variance": terms.variance,
            "distance": terms.distance,
            "regularisation": self.options.form.regularisation * terms.regularisation,
        }
