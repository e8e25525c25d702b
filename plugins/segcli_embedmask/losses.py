"""EmbedMask's mask loss; classes, boxes and centerness have the losses of FCOS."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from segcli_blocks.fcos_losses import Assigned
from segcli_blocks.losses import lovasz_hinge
from segcli_embedmask.targets import Learning

MASK_WEIGHT = 0.5
_LEAST, _MOST = 1e-9, 1 - 2**-24  # probabilities as logits; the largest float32 below 1


def mask_loss(
    maps: Sequence[Tensor], truths: Sequence[Assigned], taken: Sequence[Tensor], options: Learning
) -> Tensor:
    """Lovász hinge of each image's log-probabilities (n, H/4, W/4) on its `taken` targets (T,)."""
    total = maps[0].new_zeros(())
    for log_probability, truth, chosen in zip(maps, truths, taken, strict=True):
        if len(log_probability):
            masks, boxes = truth.masks[chosen], truth.boxes[chosen]
            total = total + per_instance(log_probability, masks, boxes, options.padding).mean()
        else:
            total = total + log_probability.sum()  # zero, but every parameter gets its gradient
    return MASK_WEIGHT * total / len(maps)


def per_instance(
    log_probability: Tensor, masks: Tensor, boxes: Tensor, padding: float | None
) -> Tensor:
    """Lovász hinge (n,) of log-probabilities (n, h, w), with the boxes (n, 4) for the padding."""
    logits = logits_of(log_probability.exp())
    if padding is not None:
        near = near_boxes(boxes / 4, masks.shape[-2:], padding)
        logits, masks = logits.masked_fill(~near, -torch.inf), masks & near
    return lovasz_hinge(logits.flatten(1), masks.flatten(1))


def logits_of(probability: Tensor) -> Tensor:
    """Finite logits: a probability of exactly 1 on background must not make the loss infinite."""
    return probability.clamp(_LEAST, _MOST).logit()


def near_boxes(boxes: Tensor, shape: Sequence[int], padding: float) -> Tensor:
    """bool (n, h, w): the cells within boxes (n, 4), in cells, widened by a share of their size."""
    low, high = boxes[:, :2], boxes[:, 2:]
    wider = padding * (high - low) + 1
    limit = boxes.new_tensor([shape[1] - 1, shape[0] - 1])
    low, high = (low - wider).clamp(min=0), torch.minimum(high + wider, limit)
    x = torch.arange(shape[1], device=boxes.device)
    y = torch.arange(shape[0], device=boxes.device)[:, None]
    low, high = low[..., None, None], high[..., None, None]
    return (x >= low[:, 0]) & (x < high[:, 0]) & (y >= low[:, 1]) & (y < high[:, 1])
