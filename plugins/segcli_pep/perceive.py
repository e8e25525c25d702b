"""Semantics perceiving: the class at every pixel of the pyramid, and descriptors of objects.

Letters: B images, C categories, D channels of a descriptor, L pixels of all levels; h, w a level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segcli.types import Size
from segcli_blocks.segmenter import keep_categories
from segcli_blocks.towers import init_normal, tower

STRIDES = (8, 16, 32, 64, 128)  # px of a pixel of P3 to P7 [D]
_BACKGROUND = 0.9  # the classifier's first output, so that there are few false alarms [D]


@dataclass(frozen=True, slots=True)
class Descriptors:
    """n objects as `vectors` (n, D); `labels` i64 (n,) without background, `scores` (n,) the class
    confidence in 0..1; the pixel of the pyramid they were read at: `level` (n,), `row`, `column`
    (n,) in that level's cells."""

    vectors: Tensor
    labels: Tensor
    scores: Tensor
    level: Tensor
    row: Tensor
    column: Tensor

    def __len__(self) -> int:
        return len(self.vectors)

    def at(self, chosen: Tensor) -> Descriptors:
        """The chosen ones: indices or bool (n,)."""
        return Descriptors(*(getattr(self, f.name)[chosen] for f in fields(self)))

    def and_(self, others: Descriptors) -> Descriptors:
        """These, then the others."""
        pairs = ((getattr(self, f.name), getattr(others, f.name)) for f in fields(self))
        return Descriptors(*(torch.cat(pair) for pair in pairs))


def even(vectors: Tensor) -> Tensor:
    """(..., D) of mean 0 and variance 1 each [D].

    Descriptors are small, as fits the kernels of masks that begin near one half; layers that read
    them would see little but their own biases.
    """
    return F.layer_norm(vectors, vectors.shape[-1:])


@dataclass(frozen=True, slots=True)
class Perceived:
    """Level by level: class `logits` (B, C + 1, h, w), 0 the background; `vectors` (B, D, h, w)."""

    logits: list[Tensor]
    vectors: list[Tensor]

    @staticmethod
    def of(tensors: Sequence[Tensor]) -> Perceived:
        """The inverse of `tensors`."""
        levels = len(tensors) // 2
        return Perceived(list(tensors[:levels]), list(tensors[levels:]))

    @property
    def tensors(self) -> list[Tensor]:
        """All maps in one list."""
        return [*self.logits, *self.vectors]

    def image(self, b: int) -> Perceived:
        """Image b alone, still with a batch dimension."""
        return Perceived([x[b : b + 1] for x in self.logits], [x[b : b + 1] for x in self.vectors])

    def at(self, flat: Tensor) -> Descriptors:
        """The descriptors of the first image at `flat` (n,) of 0..L - 1, level after level, each
        row by row; label and score are those of the likeliest category."""
        probability = torch.cat([x[0].flatten(1) for x in self.logits], 1).T[flat].softmax(1)
        score, label = probability[:, 1:].max(1)
        vectors = torch.cat([x[0].flatten(1) for x in self.vectors], 1).T[flat]
        level, row, column = (t[flat] for t in places(self.logits))
        return Descriptors(vectors, label, score, level, row, column)


class Perceive(nn.Module):
    """Two towers of `depth` layers, shared by the levels: class confidence and descriptors."""

    def __init__(self, inputs: int, classes: int, *, width: int, depth: int) -> None:
        super().__init__()
        self.semantic_tower = tower(inputs, width, depth)
        self.semantic = nn.Conv2d(width, classes + 1, 3, padding=1)
        self.descriptor_tower = tower(inputs, width, depth)
        self.descriptor = nn.Conv2d(width, width, 3, padding=1)
        init_normal(self)
        bias = self.semantic.bias
        assert bias is not None
        with torch.no_grad():
            odds = torch.tensor(_BACKGROUND / (1 - _BACKGROUND) * classes)
            bias[0] = odds.log()

    def forward(self, maps: Sequence[Tensor]) -> Perceived:
        """P3..P7 (B, inputs, h, w)."""
        return Perceived(
            [self.semantic(self.semantic_tower(x)) for x in maps],
            [self.descriptor(self.descriptor_tower(x)) for x in maps],
        )


def places(maps: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Level, row and column (L,) of every pixel of maps (..., h, w), in the order of `at`."""
    device = maps[0].device
    level, row, column = [], [], []
    for index, x in enumerate(maps):
        h, w = x.shape[-2:]
        each = torch.arange(h * w, device=device)
        level.append(torch.full_like(each, index))
        row.append(each // w)
        column.append(each % w)
    return torch.cat(level), torch.cat(row), torch.cat(column)


def inside(level: Tensor, row: Tensor, column: Tensor, content: Size) -> Tensor:
    """bool (n,): which pixels have something of the content (h, w) px."""
    stride = torch.tensor(STRIDES, device=level.device)[level]
    h, w = content
    return (row * stride < h) & (column * stride < w)


def originals(
    perceived: Perceived,
    content: Size,
    *,
    above: float,
    most: int,
    categories: frozenset[int] | None = None,
) -> Descriptors:
    """The descriptors of one image (B = 1) that stand for an object, best first.

    Where a category is likelier than `above`, and than anything in the 3x3 around [D]; at most
    `most` of all levels together. `categories` are the labels that count.
    """
    chosen, scores, labels = [], [], []
    for logits in perceived.logits:
        probability = keep_categories(logits[0].softmax(0)[1:], categories, dim=0)  # (C, h, w)
        score, label = probability.max(0)
        peak = score == F.max_pool2d(score[None], 3, stride=1, padding=1)[0]
        chosen.append((peak & (score > above)).flatten())
        scores.append(score.flatten())
        labels.append(label.flatten())
    level, row, column = places(perceived.logits)
    flat = (torch.cat(chosen) & inside(level, row, column, content)).nonzero()[:, 0]
    score = torch.cat(scores)[flat]
    best = score.argsort(descending=True, stable=True)[:most]
    flat, score = flat[best], score[best]
    label = torch.cat(labels)[flat]
    return replace(perceived.at(flat), labels=label, scores=score)
