"""SOLO's losses: masks, and categories of the grid cells."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from segcli.types import Targets
from segcli_blocks.losses import dice, focal_sum
from segcli_blocks.targets import without_crowds
from segcli_solo.heads import Dense
from segcli_solo.targets import Learning, Learnt, shrunk

_EPS = 0.002  # twice the authors' 0.001: one for either sum


def losses(
    dense: Dense, targets: Sequence[Targets], learnt: Sequence[Sequence[Learnt]], options: Learning
) -> dict[str, Tensor]:
    """`learnt`: level by level of each image. Section 3.3 of SOLO, eq. 3 to 5."""
    overlaps = [dense.categories[0].new_zeros(0)]
    wrong, cells = dense.categories[0].new_zeros(()), 0
    for b, (target, levels) in enumerate(zip(targets, learnt, strict=True)):
        masks = without_crowds(target).masks
        for index, level in enumerate(levels):
            logits = dense.categories[index][b].permute(1, 2, 0)  # (S, S, C)
            wrong = wrong + focal_sum(logits, level.categories, level.counts)
            cells += int((level.categories >= 0).sum())
            if len(level.cell):
                soft = dense.masks.learnt(b, index, level.cell)
                wanted = shrunk(masks, dense.masks.strides[index])[level.target]
                overlaps.append(dice(soft, wanted, _EPS))
    pairs = torch.cat(overlaps)
    mask = pairs.sum() / max(1, len(pairs))
    return {
        "mask": options.mask_weight * mask + dense.masks.nothing(),
        "category": wrong / (cells + 1),
    }
