"""Descriptors of one image: the vectors, and what is known of each."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional as F


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
