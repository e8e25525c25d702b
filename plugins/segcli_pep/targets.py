"""Training targets of PEP: class maps with a core for each object, centres, samples and keys.

Letters: T targets of an image, C categories, L pixels of all levels; H, W the canvas; h, w a level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from segcli.types import Targets
from segcli_blocks import regions
from segcli_blocks.targets import at_cells, crowded, labels_of, smallest
from segcli_pep.excavate import Keys, centre_of
from segcli_pep.masks import CELL
from segcli_pep.perceive import STRIDES, Descriptors, Perceived

IGNORED = -1
_DEEPEST = 33  # cells of stride 4: cores of larger objects need no exact outline

Ranges = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Sampling:
    """Choices [D] about targets and about what is sampled of an image.

    `ranges` px: the least and the largest object of each level, as the root of its area. `core`:
    the innermost share of an object's pixels, which the class maps teach; the rest is ignored.
    """

    ranges: Ranges
    core: float = 0.5
    per_object: int = 3  # core pixels of an object, in addition to its centre
    negatives: int = 20  # of an image: the likeliest pixels without an object
    keys: int = 5  # centres around an original that are mined in training
    most_mined: int = 100  # of an image
    false_keys: int = 10  # of an image: key pixels that are not a centre; they learn the background


@dataclass(frozen=True, slots=True)
class Truth:
    """`labels` (T,), `masks` bool (T, H/4, W/4), `centres` (T, 2) px x and y on the object;
    `classes` (L,): 0 background, 1 + label, IGNORED; `owner` (L,): the target in whose core a pixel
    is, or -1; `home` (T,): the pixel of 0..L - 1 that holds the centre, on the finest level that
    learns the object."""

    labels: Tensor
    masks: Tensor
    centres: Tensor
    classes: Tensor
    owner: Tensor
    home: Tensor


def truth_of(target: Targets, sizes: Sequence[tuple[int, int]], sampling: Sampling) -> Truth:
    """`sizes`: height and width of the levels. Crowds and empty masks are not targets."""
    kept = ~target.crowd & target.masks.any(2).any(1)
    masks, labels = target.masks[kept], target.labels[kept]
    small = masks[:, ::CELL, ::CELL]  # phase 0: a level's pixel centre is one of these
    area = masks.sum((1, 2)).float()
    centres, cores = _centres(masks), cores_of(small, sampling.core)
    crowd = crowded(target, target.masks[:, ::CELL, ::CELL])
    home = torch.full_like(labels, -1)
    classes, owners, first = [], [], 0
    for level, (h, w) in enumerate(sizes):
        least, most = sampling.ranges[level]
        learns = (area.sqrt() >= least) & (area.sqrt() < most)
        who, core = _owners(
            at_level(small, level, h, w), at_level(cores, level, h, w), area, learns
        )
        owner = torch.where(core, who, -1)
        ignored = (who >= 0) & ~core
        if len(labels):
            row, column = centre_of(centres, torch.full_like(labels, level))
            row, column = row.clamp(max=h - 1), column.clamp(max=w - 1)
            for t in area.argsort(descending=True).tolist():  # smaller ones last: they win
                if learns[t]:
                    owner[row[t], column[t]] = t
            fresh = learns & (home < 0)
            home = torch.where(fresh, first + row * w + column, home)
        ignored |= at_level(crowd[None], level, h, w)[0] & (owner < 0)
        each = torch.where(ignored, IGNORED, labels_of(labels, owner) + 1)
        classes.append(each.flatten())
        owners.append(owner.flatten())
        first += h * w
    return Truth(
        labels, at_cells(masks, CELL), centres, torch.cat(classes), torch.cat(owners), home
    )


def at_level(small: Tensor, level: int, h: int, w: int) -> Tensor:
    """Stride-4 flags (n, H/4, W/4) -> those at the centres of a level's pixels (n, h, w)."""
    step = STRIDES[level] // CELL
    found = small[:, step // 2 :: step, step // 2 :: step][:, :h, :w]
    return F.pad(found, (0, w - found.shape[2], 0, h - found.shape[1]))


def _owners(masks: Tensor, cores: Tensor, area: Tensor, learns: Tensor) -> tuple[Tensor, Tensor]:
    """The smallest target (h, w) that covers a pixel, of those that the level learns, or -1; and
    whether the pixel is in its core."""
    who = smallest(masks & learns[:, None, None], area)
    if not len(masks):
        return who, who >= 0
    return who, cores.gather(0, who.clamp(min=0)[None])[0] & (who >= 0)


def cores_of(masks: Tensor, share: float) -> Tensor:
    """bool (n, h, w): the `share` of every mask's pixels that are deepest inside, by steps of 3x3
    erosion; at least one of a mask that is not empty."""
    steps = [regions.depth(mask).clip(max=_DEEPEST) for mask in masks.cpu().numpy()]
    depth = torch.from_numpy(np.array(steps).reshape(masks.shape)).to(masks.device)
    ranked = depth.flatten(1).sort(dim=1, descending=True).values
    count = (masks.flatten(1).sum(1) * share).ceil().long().clamp(min=1)
    least = ranked.gather(1, count[:, None] - 1)[..., None]
    return masks & (depth >= least)


def _centres(masks: Tensor) -> Tensor:
    """Of every mask (T, H, W) the pixel nearest to its centre of mass: its middle (T, 2), x, y."""
    found = []
    for mask in masks:
        yx = mask.nonzero().float()
        nearest = (yx - yx.mean(0)).square().sum(1).argmin()
        found.append(yx[nearest].flip(0) + 0.5)
    return torch.stack(found) if found else torch.zeros(0, 2, device=masks.device)


def sample(perceived: Perceived, truth: Truth, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """Pixels of 0..L - 1 whose descriptors learn, and the target (n,) of each, -1 for none.

    The centre of each target, the core pixels with the highest score for its class, and the
    background pixels with the highest score for any class.
    """
    logits = torch.cat([x[0].flatten(1) for x in perceived.logits], 1).T.detach()  # (L, C + 1)
    probability = logits.float().softmax(1)
    core = (truth.owner >= 0).nonzero()[:, 0]
    owner = truth.owner[core]
    sure = probability[core, truth.classes[core]]
    order = sure.argsort(descending=True, stable=True)
    order = order[owner[order].argsort(stable=True)]  # by owner, surest first
    rank = torch.arange(len(order), device=order.device)
    rank = rank - torch.searchsorted(owner[order], owner[order])
    core = core[order[rank < sampling.per_object]]
    home = truth.home[truth.home >= 0]
    background = (truth.classes == 0).nonzero()[:, 0]
    alarm = 1 - probability[background, 0]
    false = background[alarm.topk(min(sampling.negatives, len(alarm))).indices]
    flat = torch.cat((home, core)).unique()
    target = truth.owner[flat]
    return (
        torch.cat((flat[target >= 0], false)),
        torch.cat((target[target >= 0], torch.full_like(false, -1))),
    )


def centre_targets(
    found: Descriptors, own: Tensor, truth: Truth, window: int
) -> tuple[Tensor, Tensor, Tensor]:
    """G_E (n, k, k), 1 where another target than the original's `own` (n,) has its centre; and the
    pairs (p,), (p,) of originals and targets that it comes of, nearest first."""
    half = window // 2
    n, count = len(found), len(truth.labels)
    wanted = found.vectors.new_zeros(n, window, window)
    if not count or not n:
        return wanted, own[:0], own[:0]
    level = found.level[:, None].expand(n, count)
    xy = truth.centres.expand(n, count, 2)
    row, column = centre_of(xy.reshape(-1, 2), level.reshape(-1))
    down = row.view(n, count) - found.row[:, None]
    right = column.view(n, count) - found.column[:, None]
    other = own[:, None] != torch.arange(count, device=own.device)
    near = other & (down.abs() <= half) & (right.abs() <= half) & ((down != 0) | (right != 0))
    i, t = near.nonzero(as_tuple=True)
    wanted[i, down[i, t] + half, right[i, t] + half] = 1
    order = (down[i, t].square() + right[i, t].square()).argsort(stable=True)
    return wanted, i[order], t[order]


def taught_keys(
    logits: Tensor, found: Descriptors, own: Tensor, truth: Truth, sampling: Sampling
) -> tuple[Keys, Tensor]:
    """The key pixels of training, and the target (m,) of each, -1 for none.

    The true centres around each original, at most `keys` of one and `most_mined` in all, nearest
    first; and the pixels that are most surely taken for a centre and are none.
    """
    window = logits.shape[1]
    half = window // 2
    wanted, i, t = centre_targets(found, own, truth, window)
    taken = F.one_hot(i, max(1, len(found))).cumsum(0).gather(1, i[:, None])[:, 0]
    i, t = i[taken <= sampling.keys], t[taken <= sampling.keys]
    i, t = i[: sampling.most_mined], t[: sampling.most_mined]
    row, column = centre_of(truth.centres[t], found.level[i])
    wrong = (logits.detach() - 1e4 * wanted).flatten(1)
    best, place = wrong.max(1)
    false = best.topk(min(sampling.false_keys, len(best))).indices
    down, right = place[false] // window - half, place[false] % window - half
    row = torch.cat((row, (found.row[false] + down).clamp(min=0)))
    column = torch.cat((column, (found.column[false] + right).clamp(min=0)))
    return (
        Keys(torch.cat((i, false)), row, column, torch.ones_like(row, dtype=torch.float32)),
        torch.cat((t, torch.full_like(false, -1))),
    )
