"""Boxes as differences from other boxes, and their overlaps. Boxes are xyxy px, float32.

`inclusive`: see Conventions; sides are one px longer then.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import box_iou, clip_boxes_to_image

from segcli.types import Size

LONGEST = math.log(1000.0 / 16)  # no box grows by more than this factor in one step


def decode(
    deltas: Tensor,
    boxes: Tensor,
    weights: Sequence[float],
    *,
    inclusive: bool = False,
    both: bool = False,
) -> Tensor:
    """Apply deltas (N, K * 4) to boxes (N, 4) -> (N, K, 4); Faster R-CNN eq. 2, inverted.

    No side grows by more than a factor of 62.5; with `both` none shrinks by more either.
    """
    w, h = _sides(boxes, inclusive)
    x, y = boxes[:, 0] + 0.5 * w, boxes[:, 1] + 0.5 * h
    per_class = deltas.reshape(len(boxes), deltas.shape[1] // 4, 4)  # (N, K, 4), N = 0 too
    dx, dy, dw, dh = (per_class / deltas.new_tensor(weights)).unbind(-1)
    cx, cy = dx * w[:, None] + x[:, None], dy * h[:, None] + y[:, None]
    shortest = -LONGEST if both else None
    half_w = 0.5 * torch.exp(dw.clamp(shortest, LONGEST)) * w[:, None]
    half_h = 0.5 * torch.exp(dh.clamp(shortest, LONGEST)) * h[:, None]
    last = float(inclusive)
    return torch.stack((cx - half_w, cy - half_h, cx + half_w - last, cy + half_h - last), dim=-1)


def encode(
    targets: Tensor, boxes: Tensor, weights: Sequence[float], *, inclusive: bool = False
) -> Tensor:
    """The deltas (N, 4) that lead from boxes (N, 4) to targets (N, 4); Faster R-CNN eq. 2."""
    w, h = _sides(boxes, inclusive)
    tw, th = _sides(targets, inclusive)
    dx = (targets[:, 0] + 0.5 * tw - boxes[:, 0] - 0.5 * w) / w
    dy = (targets[:, 1] + 0.5 * th - boxes[:, 1] - 0.5 * h) / h
    deltas = torch.stack((dx, dy, torch.log(tw / w), torch.log(th / h)), dim=1)
    return deltas * deltas.new_tensor(weights)


def whole(boxes: Tensor, *, inclusive: bool) -> Tensor:
    """Boxes (..., 4) that end where their last pixel ends."""
    return boxes + boxes.new_tensor([0, 0, 1, 1]) if inclusive else boxes


def overlaps(one: Tensor, other: Tensor, *, inclusive: bool = False) -> Tensor:
    """IoU (n, m) of boxes (n, 4) and (m, 4)."""
    iou: Tensor = box_iou(whole(one, inclusive=inclusive), whole(other, inclusive=inclusive))
    return iou


def clip(boxes: Tensor, content: Size, *, inclusive: bool = False) -> Tensor:
    """Boxes (..., 4) cut to a content of (height, width) px."""
    last = int(inclusive)
    clipped: Tensor = clip_boxes_to_image(boxes, (content[0] - last, content[1] - last))
    return clipped


def _sides(boxes: Tensor, inclusive: bool) -> tuple[Tensor, Tensor]:
    """Widths and heights (N,)."""
    w, h = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    return (w + 1, h + 1) if inclusive else (w, h)
