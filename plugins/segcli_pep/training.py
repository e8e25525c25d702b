"""PEP's losses: class maps, centres, classes of what is mined, adjacency, masks (equations in the
README)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from segcli.types import Targets
from segcli_blocks.losses import dice, focal
from segcli_pep.descriptors import Descriptors
from segcli_pep.excavate import Keys, centre_of
from segcli_pep.perceive import Perceived
from segcli_pep.targets import IGNORED, Sampling, Truth


def perceive_loss(
    perceived: Perceived, truths: Sequence[Truth], targets: Sequence[Targets], gamma: float
) -> Tensor:
    """L_P: the sum over the levels of the mean cross-entropy of the pixels that count.

    `gamma` > 0 weighs a pixel by (1 - p) ** gamma [D]. Categories that an image's data set does
    not annotate may be there unseen: where no object is, they are as right as the background.
    """
    total = perceived.logits[0].new_zeros(())
    first = 0
    for logits in perceived.logits:
        count = logits.shape[2] * logits.shape[3]
        sums, counted = [], []
        for each, truth, target in zip(logits, truths, targets, strict=True):
            wanted = truth.classes[first : first + count]
            right = _right(each.flatten(1).T.float(), wanted.clamp(min=0), target.exhaustive)
            counts = wanted != IGNORED
            sums.append((-(1 - right.exp()).pow(gamma) * right * counts).sum())
            counted.append(counts.sum())
        total = total + torch.stack(sums).sum() / torch.stack(counted).sum().clamp(min=1)
        first += count
    return total


def _right(logits: Tensor, wanted: Tensor, exhaustive: Tensor | None) -> Tensor:
    """Log-probability (n,) that logits (n, C + 1) give to what is wanted (n,), below 0."""
    every = logits.log_softmax(1)
    right = every.gather(1, wanted[:, None])[:, 0]
    if exhaustive is not None:
        also = torch.cat((exhaustive.new_ones(1), ~exhaustive))  # the background, and the unknown
        right = torch.where(wanted == 0, every[:, also].logsumexp(1), right)
    return right.clamp(max=-1e-6)


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


def centre_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """L_E [D]: focal, divided by the number of centres."""
    return focal(logits, wanted).sum() / wanted.sum().clamp(min=1)


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


def adjacency_loss(logits: Tensor, own: Tensor) -> Tensor:
    """L_M: pairs of one target (n,) are to be linked, all others not; both weigh the same [D].

    A descriptor is linked to itself anyhow, and one without a target to itself alone.
    """
    n = len(own)
    same = (own[:, None] == own) & (own >= 0)[:, None]
    pair = ~torch.eye(n, dtype=torch.bool, device=own.device)
    each = F.binary_cross_entropy_with_logits(logits, same.to(logits.dtype), reduction="none")
    linked, apart = each[same & pair], each[~same & pair]
    return 0.5 * (linked.sum() / max(1, len(linked)) + apart.sum() / max(1, len(apart)))


def mask_losses(logits: Tensor, wanted: Tensor, *, dice_weight: float) -> Tensor:
    """Of each mask (n, h, w): mean binary cross-entropy, and dice [D]."""
    wanted = wanted.to(logits.dtype)
    plain = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean((1, 2))
    return plain + dice_weight * dice(logits.sigmoid(), wanted, 1e-5)
