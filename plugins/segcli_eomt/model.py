"""EoMT (Kerssies et al. 2025) on transformers' implementation, in reading order.

A DINOv2 transformer looks at the square image; its last layers see learnt queries as well. Each
query answers with a category or none, and with a vector whose product with the map of the image is
its mask.

Letters: B images, Q queries, C categories, n objects; s px the side of the square.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from segcli.types import Batch, Instances, ModelInfo, Size, Targets
from segcli_blocks.normalize import Normalize
from segcli_blocks.segmenter import BaseSegmenter, Selection, keep_categories
from segcli_eomt.losses import Layer, losses_of
from segcli_eomt.targets import truth_of

CANDIDATES = 100  # pairs of query and category whose masks are scored
_AT_ONCE = 16  # masks that are enlarged together


class EoMT(BaseSegmenter):
    """`network` is transformers' EomtForUniversalSegmentation."""

    def __init__(self, info: ModelInfo, *, network: Any, normalize: Normalize) -> None:
        super().__init__(info, normalize)
        self.network = network

    @property
    def side(self) -> int:
        """px of the square, for which the position embeddings are learnt."""
        side: int = self.network.config.image_size
        return side

    @property
    def canvas(self) -> Size:
        """See segcli.plugin.Compilable."""
        return self.side, self.side

    def static(self, x: Tensor) -> list[Tensor]:
        """See segcli.plugin.Compilable: the logits of classes and masks of every query."""
        raw = self.network(x)
        return [raw.class_queries_logits.float(), raw.masks_queries_logits.float()]

    def prepare(self, batch: Batch) -> Tensor:
        """Pixels (B, 3, s, s): the content scaled so that its long side is s, and black around it.

        The authors pad with bytes of zero before they normalise.
        """
        x = self.normalize(batch)
        black = -self.normalize.statistics[0] / self.normalize.statistics[1]  # (3, 1, 1)
        made = black.expand(len(x), 3, self.side, self.side).clone()
        for image, canvas, content in zip(x, made, batch.content_sizes, strict=True):
            pixels = image[:, : content[0], : content[1]]
            if max(content) != self.side:
                size = [max(1, round(length / self.scale(content))) for length in content]
                pixels = F.interpolate(pixels[None], size, mode="bilinear", antialias=True)[0]
            canvas[:, : pixels.shape[1], : pixels.shape[2]] = pixels
        return made

    def scale(self, content: Size) -> float:
        """px of the batch's canvas for one px of the square; 1 unless a caller has other sizes."""
        return max(content) / self.side

    # Inference.

    def answer(self, batch: Batch, selection: Selection) -> list[Instances]:
        outputs = zip(*self.dense(batch), batch.content_sizes, strict=True)
        return [
            self.instances(classes, masks.contiguous(), selection, content)
            for classes, masks, content in outputs
        ]

    def instances(
        self, classes: Tensor, masks: Tensor, selection: Selection, content: Size
    ) -> Instances:
        """One image: classes (Q, C + 1) logits, the last for none; masks (Q, s/4, s/4) logits.

        The score is the probability of the category times the mean of the mask's own.
        """
        probability = classes.softmax(1)[:, :-1]
        kept = keep_categories(probability, selection.categories, fill=-1.0).flatten()
        most = max(CANDIDATES, selection.max_masks)
        best = kept.argsort(descending=True, stable=True)[:most]
        best = best[kept[best] >= max(selection.min_score, 0.0)]  # no score is more than this
        query, label = best // probability.shape[1], best % probability.shape[1]
        scores = kept[best] * self.certainty(masks, query, content)
        chosen = selection.best(scores)
        side = self.side * self.scale(content)
        return Instances(
            scores=scores[chosen],
            labels=label[chosen],
            boxes=None,
            fields=masks[query[chosen]],
            extents=masks.new_tensor([0, 0, side, side]).expand(len(chosen), 4),
            threshold=0.0,
            strict=True,
            outside="clamp",
        )

    def certainty(self, masks: Tensor, query: Tensor, content: Size) -> Tensor:
        """(n,): the mean probability within the masks of queries (n,), on the square's px."""
        h, w = (round(length / self.scale(content)) for length in content)
        means = [masks.new_zeros(0)]
        for start in range(0, len(query), _AT_ONCE):
            part = masks[query[start : start + _AT_ONCE]]
            size = (self.side, self.side)
            logits = F.interpolate(part[None], size, mode="bilinear")[0, :, :h, :w]
            inside = logits > 0
            total = (logits.sigmoid() * inside).sum((1, 2))
            means.append(total / inside.sum((1, 2)).clamp(min=1))
        return torch.cat(means)

    # Training.

    def losses(self, batch: Batch, targets: Sequence[Targets]) -> dict[str, Tensor]:
        """See segcli.plugin.Trainable: classes and masks, summed over the layers."""
        truths = [
            truth_of(target, self.side * self.scale(content))
            for target, content in zip(targets, batch.content_sizes, strict=True)
        ]
        layers = self.layers(self.prepare(batch))
        return losses_of(layers, truths, points=self.network.config.train_num_points)

    def layers(self, pixels: Tensor) -> list[Layer]:
        """What each layer that sees queries says of pixels (B, 3, s, s), and the last output.

        transformers returns only that one; the others are caught as they are made.
        """
        found: list[Layer] = []
        predict = self.network.predict

        def caught(tokens: Tensor) -> tuple[Tensor, Tensor]:
            masks, classes = predict(tokens)
            found.append(Layer(classes, masks))
            return masks, classes

        self.network.predict = caught
        try:
            self.network(pixels)
        finally:
            del self.network.predict
        return found
