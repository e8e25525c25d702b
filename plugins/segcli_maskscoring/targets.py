"""Training target of the estimate: the IoU of a predicted mask with the whole object, including the
part outside the region (section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from segcli.types import Targets
from segcli_blocks.rcnn.sampler import Regions


def maskiou_targets(logits: Tensor, goals: Tensor, share: Tensor) -> Tensor:
    """IoU (N,) of the masks that logits (N, s, s) draw, with true masks `goals` (N, s, s) of zeros
    and ones, of whose objects the regions hold the `share` (N,)."""
    drawn = (logits.detach() > 0).to(goals.dtype)
    whole = goals.sum((1, 2)) / share
    shared = (drawn * goals).sum((1, 2))
    return shared / (drawn.sum((1, 2)) + whole - shared).clamp(min=1)


def covered(positive: Sequence[Regions], targets: Sequence[Targets]) -> Tensor:
    """What share (N,) of its object's px each region holds, > 0."""
    shares = [targets[0].boxes.new_zeros(0)]
    for regions, target in zip(positive, targets, strict=True):
        masks = target.masks[~target.crowd]
        if not len(regions.boxes):
            continue
        # sums[t, y, x]: the px of target t above y and left of x.
        sums = F.pad(masks.long().cumsum(1).cumsum(2), (1, 0, 1, 0))
        h, w = masks.shape[-2:]
        limit = torch.tensor([w, h, w, h], device=masks.device)
        x0, y0, x1, y1 = regions.boxes.round().long().clamp(min=0).minimum(limit).unbind(1)
        t = regions.match
        inside = sums[t, y1, x1] - sums[t, y0, x1] - sums[t, y1, x0] + sums[t, y0, x0]
        shares.append(inside / sums[t, h, w].clamp(min=1))
    return torch.cat(shares).clamp(min=1e-10)
