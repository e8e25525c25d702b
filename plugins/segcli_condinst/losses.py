"""CondInst's losses in addition to FCOS's: masks, and semantics if the variant has them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from segcli.types import Targets
from segcli_blocks.losses import dice, focal_sum
from segcli_blocks.targets import at_cells, counted, crowded, labels_of, smallest, without_crowds


def mask_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """Mean dice loss of logits (n, H/4, W/4); zero without any."""
    each = dice(logits.sigmoid(), wanted, 1e-5)
    return each.sum() / max(len(each), 1)


def semantic_loss(logits: Tensor, targets: Sequence[Targets]) -> Tensor:
    """Focal loss of class logits (B, C, h, w) at stride 8: the category of
    the smallest mask that covers a cell."""
    labels, counts = [], []
    for target in targets:
        single = without_crowds(target)
        owner = smallest(at_cells(single.masks, 8), single.masks.sum((1, 2)))
        labels.append(labels_of(single.labels, owner))
        crowd = crowded(target, at_cells(target.masks, 8))
        counts.append(counted(target, labels[-1], crowd, logits.shape[1]))
    label = torch.stack(labels)
    total = focal_sum(logits.permute(0, 2, 3, 1), label, torch.stack(counts))
    return total / (label >= 0).sum().clamp(min=1)
