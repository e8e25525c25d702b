"""The discriminative loss (De Brabandere et al. 2017, section 3.1) in four published forms.

Pixels of an object are pulled to within `pull` of their mean, means of two objects pushed to at
least `2 push` from each other, and all means drawn weakly to the origin. Letters: n dimensions,
P pixels, K objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from segcli_blocks.semantic import Truth


@dataclass(frozen=True, slots=True)
class Form:
    """How an implementation reads the equations; the defaults are the paper's.

    `variance`: the mean over objects of each one's mean, their sum, or the mean over all pixels.
    `pairs`: the mean over pairs of objects, half of it, or K / 2 times it. `smallest`: objects of
    fewer pixels do not count at all. `eps`: under the root of a Euclidean norm.
    """

    variance: Literal["objects", "sum", "pixels"] = "objects"
    pairs: Literal["mean", "half", "sum"] = "mean"
    norm: Literal[1, 2] = 2
    pull: float = 0.5  # delta_v
    push: float = 1.5  # delta_d
    regularisation: float = 0.001
    smallest: int = 1
    eps: float = 0.0


FORMS = {
    "paper": Form(),
    "authors": Form("sum", "sum", regularisation=0.0, smallest=2, eps=1e-8),
    "wizaron": Form("pixels"),
    "nyoki": Form(pairs="half"),
}


@dataclass(frozen=True, slots=True)
class Terms:
    """The three terms without their weights, and the weighted `total`; scalars."""

    variance: Tensor
    distance: Tensor
    regularisation: Tensor
    total: Tensor


def discriminative(embedding: Tensor, owner: Tensor, form: Form = FORMS["paper"]) -> Terms:
    """One image: `embedding` (n, ...) of any float type, `owner` i64 (...): which object a pixel
    belongs to, 0 for none. Without objects all terms are zero, with a gradient of zero."""
    x = embedding.flatten(1).float()
    # Products with the membership matrix, not scattered sums: the same in every run.
    members = owner.flatten() == torch.arange(1, int(owner.max()) + 1, device=x.device)[:, None]
    sizes = members.sum(1)
    kept = sizes >= max(form.smallest, 1)
    members, sizes = members[kept].to(x.dtype), sizes[kept]
    if not len(members):
        nothing = 0 * x.sum()
        return Terms(nothing, nothing, nothing, nothing)
    means = members @ x.T / sizes[:, None]  # (K, n)
    apart = _norm(x - means.T @ members, 0, form)
    excess = (apart - form.pull).clamp(min=0).square()
    variance = _variance(members @ excess, sizes, form)
    distance = _distance(means, form)
    weight = _norm(means, 1, form).mean()
    return Terms(variance, distance, weight, variance + distance + form.regularisation * weight)


def mean_terms(terms: Sequence[Terms]) -> Terms:
    """Of a batch: the mean over its images."""

    def mean(name: str) -> Tensor:
        return torch.stack([getattr(one, name) for one in terms]).mean()

    return Terms(*(mean(name) for name in Terms.__slots__))


def _norm(x: Tensor, dim: int, form: Form) -> Tensor:
    if form.norm == 2 and form.eps:
        return (x.square().sum(dim) + form.eps).sqrt()
    norm: Tensor = torch.linalg.vector_norm(x, form.norm, dim)  # its gradient at 0 is 0
    return norm


def _variance(sums: Tensor, sizes: Tensor, form: Form) -> Tensor:
    """From each object's sum (K,) over its pixels, of which it has `sizes` (K,)."""
    if form.variance == "pixels":
        return sums.sum() / sizes.sum()
    each = sums / sizes
    return each.sum() if form.variance == "sum" else each.mean()


def _distance(means: Tensor, form: Form) -> Tensor:
    count = len(means)
    if count < 2:
        return 0 * means.sum()
    first, second = torch.triu_indices(count, count, 1, device=means.device)
    apart = _norm(means[first] - means[second], 1, form)
    mean = (2 * form.push - apart).clamp(min=0).square().mean()
    return mean * {"mean": 1.0, "half": 0.5, "sum": count / 2}[form.pairs]


def instance_terms(embedding: Tensor, truth: Truth, labels: Tensor, form: Form) -> Terms:
    """The terms of one image (n, h, w): each class by itself, then summed."""
    present = [0]
    if len(labels):
        present = labels[truth.owner[truth.owner >= 0]].unique().tolist() or [0]
    found = []
    for label in present:
        own = truth.owner >= 0
        if len(labels):
            own &= labels[truth.owner.clamp(min=0)] == label
        found.append(discriminative(embedding, _numbered(truth.owner, own), form))
    return Terms(*(torch.stack([getattr(t, n) for t in found]).sum() for n in Terms.__slots__))


def _numbered(owner: Tensor, own: Tensor) -> Tensor:
    """1, 2, ... for the owners (h, w) where `own`, 0 elsewhere."""
    numbered = torch.zeros_like(owner)
    if own.any():
        numbered[own] = owner[own].unique(return_inverse=True)[1] + 1
    return numbered
