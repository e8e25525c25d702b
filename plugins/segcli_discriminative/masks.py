"""From embeddings to masks: a fast mean shift, and the fields of its objects.

Modes come from a coarse grid, then every pixel goes to its mode. All points of the grid move at
once, which uses a GPU well. Pixels far from every mode are sampled again on a finer grid. Letters:
n dimensions, M points, K modes, P pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from segcli_blocks import regions

_STEPS = 30
_STILL = 1e-2  # of the bandwidth: modes are at least one apart
_AT_ONCE = 1 << 22  # distances held at a time


@dataclass(frozen=True, slots=True)
class Clustering:
    """`bandwidth`: of the kernel, and the least distance of two modes. `points`: about
    so many on the grid at most. `rounds`: how often what is left is looked at. `left`: px far
    from every mode for which it is not. `crumb`: a cluster needs more px than this inside, see
    `solid_sizes`. `reach`: px farther than this from every mode get no label."""

    bandwidth: float = 1.5
    points: int = 256
    rounds: int = 3
    left: int = 100
    crumb: int = 4
    reach: float = 3.0


def cluster(embedding: Tensor, foreground: Tensor, options: Clustering) -> tuple[Tensor, Tensor]:
    """Labels i64 (h, w) from 1, 0 where none, and the modes f32 (K, n) that they number, of
    `embedding` f32 (n, h, w) where `foreground` bool (h, w)."""
    modes = embedding.new_zeros((0, len(embedding)))
    labels = torch.zeros(foreground.shape, dtype=torch.int64, device=embedding.device)
    index = foreground.flatten().nonzero()[:, 0]
    inside = embedding.flatten(1).index_select(1, index)
    free = foreground
    for _ in range(options.rounds):
        sample = sampled(embedding, free, options)
        fresh = _new(modes_of(sample, options.bandwidth), modes, options) if len(sample) else sample
        if not len(fresh):
            break
        found = torch.cat((modes, fresh))
        numbers, far = _numbered(inside, found, options)
        labels.view(-1).index_copy_(0, index, numbers)
        modes = found[solid_sizes(labels, len(found)) > options.crumb]
        if len(modes) < len(found):  # the cells of seams go to the objects next to them
            numbers, far = _numbered(inside, modes, options)
            labels.view(-1).index_copy_(0, index, numbers)
        # An object that the grid has missed is far from every mode, and is not a line as seams are.
        free = torch.zeros_like(foreground)
        free.view(-1).index_copy_(0, index, far)
        free = torch.from_numpy(regions.opened(free.cpu().numpy())).to(free.device)
        if int(free.sum()) <= options.left:
            break
    return labels, modes


def _numbered(points: Tensor, modes: Tensor, options: Clustering) -> tuple[Tensor, Tensor]:
    """Of points (n, P) the numbers (P,) of their modes from 1, 0 where none is in reach; and which
    are farther than a bandwidth from every mode."""
    if not len(modes):
        far = torch.ones_like(points[0], dtype=torch.bool)
        return torch.zeros_like(points[0], dtype=torch.int64), far
    nearest, apart = assigned(points, modes)
    return (nearest + 1) * (apart < options.reach**2), apart >= options.bandwidth**2


def sampled(embedding: Tensor, mask: Tensor, options: Clustering) -> Tensor:
    """Embeddings (M, n) on a square grid over the mask, without those on a seam: where the px on
    either side are farther than a bandwidth from each other."""
    count = int(mask.sum())
    step = max(1, math.ceil((count / options.points) ** 0.5))
    y, x = mask[step // 2 :: step, step // 2 :: step].nonzero(as_tuple=True)
    y, x = step // 2 + step * y, step // 2 + step * x
    h, w = mask.shape
    above, below = embedding[:, (y - 1).clamp(min=0), x], embedding[:, (y + 1).clamp(max=h - 1), x]
    left, right = embedding[:, y, (x - 1).clamp(min=0)], embedding[:, y, (x + 1).clamp(max=w - 1)]
    steps = torch.stack((above - below, left - right)).square().sum(1).amax(0)
    inside = steps < options.bandwidth**2
    return embedding[:, y[inside], x[inside]].T.contiguous()


def modes_of(points: Tensor, bandwidth: float) -> Tensor:
    """Modes (K, n) of points (M, n), the one with the most around it first.

    Every point is shifted to the mean of its neighbours, weighted by 1 - (distance / bandwidth)^2:
    unlike a flat kernel's, these means do not jump when a point crosses the rim.
    """
    fixed = _lifted(points / bandwidth, first=False).T
    counted = torch.cat((points, torch.ones_like(points[:, :1])), 1)
    moving = points
    for _ in range(_STEPS):
        sums = _weights(moving / bandwidth, fixed) @ counted
        moved = sums[:, :-1] / sums[:, -1:]
        step = (moved - moving).square().sum(1).amax().sqrt()
        moving = moved
        if step < _STILL * bandwidth:
            break
    mass = _weights(moving / bandwidth, fixed).sum(1)
    moving = moving[mass.argsort(descending=True, stable=True)]
    modes = []
    while len(moving):
        modes.append(moving[0])
        moving = moving[_squared(moving, moving[:1])[:, 0] >= bandwidth**2]
    return torch.stack(modes)


def assigned(points: Tensor, modes: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest mode i64 (P,) of points (n, P), and its squared distance (P,)."""
    found = []
    for part in points.split(max(1, _AT_ONCE // len(modes)), 1):
        # Less the points' own squares, which do not decide which mode is the nearest.
        less, nearest = torch.addmm(modes.square().sum(1)[:, None], modes, part, alpha=-2).min(0)
        found.append((nearest, less + part.square().sum(0)))
    nearest, apart = (torch.cat(parts) for parts in zip(*found, strict=True))
    return nearest, apart


def solid_sizes(labels: Tensor, count: int) -> Tensor:
    """Of each label 1..count: how many px (count,) have no other label among their eight
    neighbours. Where embeddings pass from one object's to the next, or to the background's, seams
    of one or two px have modes of their own, and no such px."""
    # The narrowest integers that hold the numbers: this is bound by memory.
    kinds = (torch.uint8, torch.int16, torch.int32)
    kind = next(kind for kind in kinds if count < torch.iinfo(kind).max)
    own = high = labels.to(kind)
    low = torch.where(own > 0, own, torch.iinfo(kind).max)
    for dim in (0, 1):  # the largest and the smallest label of 3 x 3 px, one direction at a time
        high = _over_three(high, torch.maximum, dim)
        low = _over_three(low, torch.minimum, dim)
    return torch.where(high == low, own, 0).flatten().bincount(minlength=count + 1)[1:]


def _over_three(x: Tensor, pick: Callable[[Tensor, Tensor], Tensor], dim: int) -> Tensor:
    """The pick of every px and the ones before and after it along `dim`."""
    rest = x.shape[dim] - 1
    found = x.clone()
    before, after = x.narrow(dim, 0, rest), x.narrow(dim, 1, rest)
    found.narrow(dim, 1, rest).copy_(pick(after, before))
    inner = found.narrow(dim, 0, rest)
    inner.copy_(pick(inner, after))
    return found


def _squared(some: Tensor, others: Tensor) -> Tensor:
    """Squared distances of (M, n) and (K, n): (M, K), by one product."""
    own, their = some.square().sum(1, keepdim=True), others.square().sum(1)
    return torch.addmm(their, some, others.T, alpha=-2).add_(own).clamp_(min=0)


def _weights(some: Tensor, fixed: Tensor) -> Tensor:
    """1 - the squared distances, and 0 beyond 1: (M, K), by one product with what is `_lifted`."""
    return (_lifted(some, first=True) @ fixed).clamp_(min=0)


def _lifted(points: Tensor, *, first: bool) -> Tensor:
    """Points (M, n) with two more numbers each, so that one of the first kind times one of the
    other is 1 - the square of their distance."""
    rest = 0.5 - points.square().sum(1, keepdim=True)
    one = torch.ones_like(rest)
    return torch.cat((points * 2**0.5, *((rest, one) if first else (one, rest))), 1)


def _new(found: Tensor, known: Tensor, options: Clustering) -> Tensor:
    if not len(known):
        return found
    return found[assigned(found.T, known)[1] >= options.bandwidth**2]


def distances(embedding: Tensor, modes: Tensor) -> Tensor:
    """(K, h, w) of embeddings (n, h, w) from modes (K, n)."""
    return torch.cdist(modes, embedding.flatten(1).T).view(-1, *embedding.shape[1:])


def margins(apart: Tensor, options: Clustering) -> Tensor:
    """By how much each mode is nearer than all others, and than the reach, from distances
    (K, h, w): in bandwidths, -1 to 1.

    Positive exactly where the clustering gives a cell to the mode, and smooth, so that masks
    interpolated from it do not show the cells.
    """
    rival = torch.full_like(apart, options.reach)
    if len(apart) > 1:
        least, which = apart.topk(2, 0, largest=False)
        ids = torch.arange(len(apart), device=apart.device)[:, None, None]
        other = torch.where(which[0] == ids, least[1], least[0])
        rival = torch.minimum(rival, other)
    return ((rival - apart) / options.bandwidth).clamp(-1, 1)
