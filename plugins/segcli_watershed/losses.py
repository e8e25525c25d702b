"""The losses of directions and of levels (Bai and Urtasun 2017, sections 3.2 and 3.3), as the
authors' code has them."""

from __future__ import annotations

import torch
from torch import Tensor

_SHORT_OF_ONE = 0.999999  # acos has no slope at 1
LOW = (3.0, 3.0, 3.0, 2.0)  # what errors of the lowest levels cost; those of all others cost 1


def unit(vectors: Tensor, dim: int = 1) -> Tensor:
    """Vectors of length 1; zero stays zero."""
    return vectors * vectors.square().sum(dim, keepdim=True).clamp(min=1e-20).rsqrt()


def angles(found: Tensor, wanted: Tensor) -> Tensor:
    """Radians (B, h, w) between directions (B, 2, h, w); a right angle where one is zero."""
    cosine = (unit(found) * _SHORT_OF_ONE * unit(wanted) * _SHORT_OF_ONE).sum(1)
    return cosine.acos()


def direction_loss(found: Tensor, wanted: Tensor, inside: Tensor, weight: Tensor) -> Tensor:
    """Squared angles, weighted, over the px `inside` (B, h, w) and one more: weights do not
    count as px."""
    error = angles(found, wanted).square()
    return (error * inside * weight).sum() / (inside.sum() + 1)


def level_loss(logits: Tensor, wanted: Tensor, inside: Tensor, weight: Tensor) -> Tensor:
    """Binary cross entropy of each of the 16 probabilities of logits (B, 16, h, w), weighted."""
    right = torch.nn.functional.one_hot(wanted, logits.shape[1]).movedim(-1, 1).bool()
    probability = logits.softmax(1)
    each = -torch.where(right, probability, 1 - probability).clamp(min=1e-25).log()
    cost = torch.ones(logits.shape[1], device=logits.device)
    cost[: len(LOW)] = cost.new_tensor(LOW)
    counted = inside * weight
    return (each * cost[:, None, None] * counted[:, None]).sum() / (counted.sum() + 1)
