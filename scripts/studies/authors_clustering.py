"""The authors' clustering: shift one mean after another over the unclustered pixels.

From their published test code (fastSceneUnderstanding), which has a bandwidth of 1.5. It passes
over all pixels again and again; segcli_discriminative.masks does the same work on few.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

# Embeddings (n, m) of what is unclustered, and how often shifting has failed -> where to begin.
Pick = Callable[[Tensor, int], int]

_LEFT = 100  # px that may stay unclustered
_FAILURES = 20
_STEPS, _STILL = 100, 1e-4
_CRUMB = 10  # px: objects of so few are dropped
_SAMPLE = 1024  # points among which density is counted


def densest(points: Tensor, failures: int) -> int:
    """The point with the most others within a distance of 1, the first of equals.

    Among more than 1,024 points every k-th is asked. After a failure comes the next densest.
    """
    step = -(-points.shape[1] // _SAMPLE)
    some = points[:, ::step].T.contiguous()
    near = (torch.cdist(some, some) < 1).sum(1)
    order = near.argsort(descending=True, stable=True)
    return int(order[min(failures, len(order) - 1)]) * step


def cluster(
    embedding: Tensor, foreground: Tensor, *, bandwidth: float = 1.5, pick: Pick = densest
) -> Tensor:
    """Labels i64 (h, w) from 1, 0 where none, of `embedding` f32 (n, h, w) where `foreground`.

    Up to 100 px and what the opening of each object takes away stay without a label.
    """
    points = embedding.flatten(1)
    free = foreground.flatten().clone()
    labels = torch.zeros(foreground.shape, dtype=torch.int64, device=embedding.device)
    label, failures = 1, 0
    while int(free.sum()) > _LEFT and failures < _FAILURES:
        some = points[:, free]
        mean = _shifted(some, some[:, pick(some, failures)], bandwidth)
        if mean is None:
            failures += 1
            continue
        member = _distance(points, mean) < bandwidth
        claimed = int((member & (labels.flatten() > 0)).sum())
        if claimed < 0.5 * int(member.sum()):
            member &= free
            labels[_opened(member.view(foreground.shape))] = label
            label += 1
        before = int(free.sum())
        free &= ~member
        # Theirs would go on for ever where nothing was unclustered any more.
        failures = 0 if int(free.sum()) < before else failures + 1
    return _relabelled(labels, _CRUMB)


def cluster_with_labels(embedding: Tensor, truth: Tensor, *, bandwidth: float = 1.5) -> Tensor:
    """Labels i64 (h, w) around the means of the true objects: what the embedding is worth.

    `truth` (h, w), 0 for background. Where means are close, the later object takes the pixel.
    """
    points = embedding.flatten(1)
    labels = torch.zeros(truth.numel(), dtype=torch.int64, device=embedding.device)
    for label in range(1, int(truth.max()) + 1):
        own = truth.flatten() == label
        if own.any():
            labels[_distance(points, points[:, own].mean(1)) < bandwidth] = label
    return _relabelled(labels.view(truth.shape) * (truth > 0), 1)


def _distance(points: Tensor, mean: Tensor) -> Tensor:
    return ((points - mean[:, None]).square().sum(0) + 1e-8).sqrt()


def _shifted(points: Tensor, mean: Tensor, bandwidth: float) -> Tensor | None:
    """Where the mean (n,) comes to rest under a flat kernel; None where it does not."""
    for _ in range(_STEPS):
        near = _distance(points, mean) < bandwidth
        moved = points[:, near].mean(1) if near.any() else mean
        still = float((mean - moved).norm()) <= _STILL
        mean = moved
        if still:
            return mean
    return None


def _opened(mask: Tensor) -> Tensor:
    """Eroded, then dilated, by 3 x 3; the image's edge does not erode."""
    solid = 1 - mask.float()[None, None]
    eroded = 1 - F.max_pool2d(solid, 3, stride=1, padding=1)
    return F.max_pool2d(eroded, 3, stride=1, padding=1)[0, 0] > 0


def _relabelled(labels: Tensor, crumb: int) -> Tensor:
    """1, 2, ... in order, without the labels of at most `crumb` px."""
    sizes = labels.flatten().bincount()
    kept = sizes > crumb
    kept[0] = False
    return (kept.cumsum(0) * kept)[labels]
