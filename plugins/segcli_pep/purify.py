"""Instance purifying: descriptors of the same object are merged.

Letters: n descriptors of one image, D channels.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segcli_pep.perceive import Descriptors, even

Merging = Literal["components", "best"]


class Purify(nn.Module):
    """Adjacency by similarity, and one graph convolution along it.

    M = sigmoid(a cos(phi(I_i), phi(I_j)) + b) with two linear layers phi and learned a, b [D].
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.phi = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(inplace=True), nn.Linear(width, width)
        )
        self.slope = nn.Parameter(torch.tensor(10.0))
        self.offset = nn.Parameter(torch.tensor(-5.0))
        self.graph = nn.Linear(width, width)

    def adjacency(self, vectors: Tensor) -> Tensor:
        """(n, D) -> logits of M (n, n), symmetric."""
        unit = F.normalize(self.phi(even(vectors)), dim=1)
        return self.slope * (unit @ unit.T) + self.offset

    def refined(self, vectors: Tensor, adjacency: Tensor) -> Tensor:
        """I + ReLU(W rownorm(M) I): every descriptor hears from those it is linked to.

        Values of M below 1/2 are left out [D]: small values of a hundred other descriptors would
        outweigh the few of its own object, and training has many more of them than inference.
        """
        near = adjacency.sigmoid()
        near = torch.where(near > 0.5, near, 0)
        near = near / near.sum(1, keepdim=True).clamp(min=1e-6)
        added: Tensor = self.graph(near @ vectors).relu()
        return vectors + added


def groups(
    adjacency: Tensor, found: Descriptors, *, above: float, merging: Merging = "components"
) -> Tensor:
    """Which object each descriptor means: (n,) the index of one of its group.

    Only descriptors of one label are linked. "components": the connected components of M (n, n) >
    `above`. "best": the best descriptor takes what is linked to it directly, then the best of the
    others, and so on: no chains.
    """
    linked = (adjacency > above) & (found.labels[:, None] == found.labels)
    if merging == "best":
        return _taken(linked, found.scores)
    linked = linked | torch.eye(len(found), dtype=torch.bool, device=linked.device)
    group = torch.arange(len(found), device=linked.device)
    while True:
        most = group.expand_as(linked).masked_fill(~linked, len(found))
        lower = most.amin(1) if len(found) else group
        if torch.equal(lower, group):
            return group
        group = lower


def _taken(linked: Tensor, scores: Tensor) -> Tensor:
    order = scores.argsort(descending=True, stable=True).tolist()
    table = linked.tolist()  # a few dozen, so that a loop on the host is fast
    group = [-1] * len(order)
    for best in order:
        if group[best] < 0:
            for other in order:
                if group[other] < 0 and (table[best][other] or other == best):
                    group[other] = best
    return torch.tensor(group, dtype=torch.int64, device=linked.device)


def merged(found: Descriptors, group: Tensor, *, mean: bool) -> Descriptors:
    """One descriptor a group: label, score and place are those of the best, and so is the vector
    unless `mean`: then it is all vectors', weighted by confidence. Best first."""
    order = found.scores.argsort(descending=True, stable=True)
    names, member = group.unique(return_inverse=True)
    # Walking from the worst to the best, the last that is written for a group is its best.
    best_of = {
        m: i for i, m in reversed(list(zip(order.tolist(), member[order].tolist(), strict=True)))
    }
    best = torch.tensor(list(best_of.values()), dtype=torch.int64, device=group.device)
    best = best[found.scores[best].argsort(descending=True, stable=True)]
    kept = found.at(best)
    if not mean:
        return kept
    weight = found.scores.clamp(min=1e-6)
    total = weight.new_zeros(len(names)).index_add(0, member, weight)
    share = (weight / total[member])[:, None].to(found.vectors.dtype)
    shape = (len(names), found.vectors.shape[1])
    vectors = found.vectors.new_zeros(shape).index_add(0, member, found.vectors * share)
    return replace(kept, vectors=vectors[member[best]])
