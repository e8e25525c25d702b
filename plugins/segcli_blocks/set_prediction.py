"""Learning a set of masks: each target is given to one query, and masks are compared at points.

Letters: Q queries, T targets, n pairs of them, P
points, each (x, y) in [0, 1] of the grid; h, w cells.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

_OVERSAMPLED = 3  # times as many random points as are wanted, of which the most uncertain are kept
_UNCERTAIN = 0.75  # of the wanted points; the others are random


def assign(cost: Tensor) -> tuple[Tensor, Tensor]:
    """Queries and targets i64 (min(Q, T),) of the pairs with the least sum of `cost` (Q, T).

    NaN and infinite costs are the last choice.
    """
    from scipy.optimize import linear_sum_assignment  # takes a second, and only training needs it

    worst = torch.finfo(torch.float32).max / 1e6  # sums of it are finite
    known = cost.detach().float().nan_to_num(nan=worst, posinf=worst, neginf=worst)
    queries, targets = linear_sum_assignment(known.cpu().numpy())
    return (
        torch.as_tensor(queries, dtype=torch.int64, device=cost.device),
        torch.as_tensor(targets, dtype=torch.int64, device=cost.device),
    )


def at_points(
    fields: Tensor, points: Tensor, *, mode: Literal["bilinear", "nearest"] = "bilinear"
) -> Tensor:
    """Fields (n, h, w) at points (n, P, 2) or (1, P, 2): (n, P). Zero lies beyond a field."""
    points = points.expand(len(fields), -1, -1).to(fields.dtype)
    grid = 2 * points[:, :, None] - 1
    return F.grid_sample(fields[:, None], grid, mode=mode, align_corners=False)[:, 0, :, 0]


@torch.no_grad()
def uncertain_points(logits: Tensor, count: int) -> Tensor:
    """`count` points (n, count, 2) for each of `logits` (n, h, w), three quarters of them where the
    logit is nearest to zero among thrice as many (Kirillov et al. 2020, PointRend)."""
    n = len(logits)
    tried = torch.rand(n, _OVERSAMPLED * count, 2, device=logits.device)
    certainty = at_points(logits, tried).abs()
    kept = int(_UNCERTAIN * count)
    index = certainty.topk(kept, dim=1, largest=False).indices
    chosen = tried.gather(1, index[..., None].expand(-1, -1, 2))
    return torch.cat((chosen, torch.rand(n, count - kept, 2, device=logits.device)), 1)


def pair_costs(logits: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Cross entropy and dice (Q, T) of every `logits` (Q, P) with every `wanted` (T, P), 0 or 1."""
    right, wrong = F.softplus(-logits), F.softplus(logits)
    entropy = (right @ wanted.T + wrong @ (1 - wanted).T) / logits.shape[1]
    probability = logits.sigmoid()
    shared = 2 * probability @ wanted.T
    dice = 1 - (shared + 1) / (probability.sum(1)[:, None] + wanted.sum(1) + 1)
    return entropy, dice


def mask_losses(logits: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Cross entropy and dice of `logits` (n, P) with `wanted` (n, P), 0 or 1, summed over n."""
    entropy = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean(1)
    probability = logits.sigmoid()
    shared = 2 * (probability * wanted).sum(1)
    dice = 1 - (shared + 1) / (probability.sum(1) + wanted.sum(1) + 1)
    return entropy.sum(), dice.sum()
