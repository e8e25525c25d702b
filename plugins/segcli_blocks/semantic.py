"""The semantic head: a class for every cell, on the pyramid merged to stride 4, with its loss.

After Kirillov et al. 2019 (Panoptic Feature Pyramid Networks), made smaller. Letters: B images,
C categories, of which background is the (C + 1)-th, T targets of an image, h, w cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segcli.types import Targets
from segcli_blocks.targets import annotated, at_cells, crowded, smallest
from segcli_blocks.towers import init_normal, tower

STRIDE = 4  # canvas px of a cell


class Merged(nn.Module):
    """Maps of strides 4, 8, ... (B, inputs, ...) -> one of stride 4 (B, width, h, w): a 3x3
    convolution each, upsampled, summed."""

    def __init__(self, inputs: int, width: int, levels: int = 4) -> None:
        super().__init__()
        self.towers = nn.ModuleList(tower(inputs, width, 1) for _ in range(levels))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        size = maps[0].shape[-2:]
        found: Tensor = self.towers[0](maps[0])
        for level, features in zip(self.towers[1:], maps[1:], strict=True):
            x = level(features)
            found = found + F.interpolate(x, size, mode="bilinear", align_corners=False)
        return found


def head(inputs: int, width: int, outputs: int, *, depth: int = 2) -> nn.Sequential:
    """`depth` 3x3 convolutions with their norms, then a 1x1 one."""
    last = nn.Conv2d(width, outputs, 1)
    init_normal(last)
    return nn.Sequential(tower(inputs, width, depth), last)


@dataclass(frozen=True, slots=True)
class Truth:
    """Of one image: `owner` i64 (h, w), the target that a cell belongs to, -1 for none; `allowed`
    bool (h, w, C + 1): the classes that are right for it; `known` bool (h, w): not in a crowd."""

    owner: Tensor
    allowed: Tensor
    known: Tensor


def owners_of(target: Targets, *, stride: int) -> tuple[Tensor, Tensor]:
    """`owner` and `known` of a `Truth`: every `stride`-th px of the canvas, from the middle of the
    first cell on. Where targets overlap, the smallest has the cell."""
    cells = at_cells(target.masks, stride)
    single = cells & ~target.crowd[:, None, None]
    owner = smallest(single, target.masks.sum((1, 2)))
    return owner, (owner >= 0) | ~crowded(target, cells)


def truth_of(target: Targets, classes: int, *, stride: int = STRIDE) -> Truth:
    """Background may also be any category that the data set does not annotate."""
    owner, known = owners_of(target, stride=stride)
    background = torch.cat((~annotated(target, classes), target.crowd.new_ones(1)))
    allowed = background.expand(*owner.shape, -1).clone()
    owned = owner >= 0
    allowed[owned] = F.one_hot(target.labels[owner[owned]], classes + 1).bool()
    return Truth(owner, allowed, known)


def semantic_loss(logits: Tensor, truths: Sequence[Truth]) -> Tensor:
    """Cross entropy of logits (B, C + 1, h, w): minus the logarithm of the probability of all that
    is allowed, weighted mean over the known cells.

    A class of which the batch has the share f weighs 1 / log(1.02 + f) (Paszke et al. 2016, ENet),
    so that small objects are not drowned by the background.
    """
    allowed = torch.stack([truth.allowed for truth in truths]).permute(0, 3, 1, 2)
    known = torch.stack([truth.known for truth in truths])
    logits = logits.float()
    right = logits.masked_fill(~allowed, -torch.inf).logsumexp(1)
    each = logits.logsumexp(1) - right
    background = logits.shape[1] - 1
    kind = torch.where(allowed[:, background], background, allowed.int().argmax(1))
    share = kind[known].bincount(minlength=background + 1) / known.sum().clamp(min=1)
    weight = (1 / (1.02 + share).log())[kind] * known
    return (each * weight).sum() / weight.sum().clamp(min=1)
