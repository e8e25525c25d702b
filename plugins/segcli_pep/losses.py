"""PEP's losses: class maps, centres, adjacency, masks (equations in the README)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from segcli.types import Targets
from segcli_blocks.losses import dice, focal
from segcli_blocks.targets import annotated
from segcli_pep.perceive import Perceived
from segcli_pep.targets import IGNORED, Truth


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
            right = _right(each.flatten(1).T.float(), wanted.clamp(min=0), target)
            counts = wanted != IGNORED
            sums.append((-(1 - right.exp()).pow(gamma) * right * counts).sum())
            counted.append(counts.sum())
        total = total + torch.stack(sums).sum() / torch.stack(counted).sum().clamp(min=1)
        first += count
    return total


def _right(logits: Tensor, wanted: Tensor, target: Targets) -> Tensor:
    """Log-probability (n,) that logits (n, C + 1) give to what is wanted (n,), below 0."""
    every = logits.log_softmax(1)
    known = annotated(target, logits.shape[1] - 1)
    also = torch.cat((known.new_ones(1), ~known))  # the background, and the unknown
    nothing = every[:, also].logsumexp(1)
    right = torch.where(wanted == 0, nothing, every.gather(1, wanted[:, None])[:, 0])
    return right.clamp(max=-1e-6)


def centre_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """L_E [D]: focal, divided by the number of centres."""
    return focal(logits, wanted).sum() / wanted.sum().clamp(min=1)


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
