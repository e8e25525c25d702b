"""Assign boxes to objects or background (Ren et al. 2015, section 3.1.2).

Boxes in a crowd region are neither. Letters: T single objects of an image, n boxes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import box_area

from segcli.types import Targets
from segcli_blocks.boxes import intersection
from segcli_blocks.rcnn.box_coder import overlaps


def match_anchors(
    anchors: Tensor, truth: Tensor, *, inclusive: bool = False
) -> tuple[Tensor, Tensor]:
    """Per anchor (n, 4) the best of the targets (T, 4), and 1 object, 0 background, -1 neither.

    Objects overlap by an IoU of 0.7 or more, background by less than 0.3. A target's best anchors
    are objects whatever their IoU is.
    """
    if not len(truth):
        nothing = torch.zeros(len(anchors), dtype=torch.long, device=anchors.device)
        return nothing, nothing.clone()
    iou = overlaps(truth, anchors, inclusive=inclusive)  # (T, n)
    best, match = iou.max(0)
    state = torch.full_like(match, -1)
    state[best < 0.3] = 0
    state[best >= 0.7] = 1
    top = iou.amax(1, keepdim=True)
    state[((iou == top) & (top > 0)).any(0)] = 1
    return match, state


def match_regions(
    boxes: Tensor, target: Targets, *, least: float = 0.5, inclusive: bool = False
) -> tuple[Tensor, Tensor]:
    """Per box (n, 4) the best of an image's single objects, and its label, -1 where the IoU is
    below `least`."""
    truth = target.boxes[~target.crowd]
    match = torch.zeros(len(boxes), dtype=torch.long, device=boxes.device)
    if not len(truth):
        return match, torch.full_like(match, -1)
    best, match = overlaps(truth, boxes, inclusive=inclusive).max(0)
    return match, torch.where(best >= least, target.labels[~target.crowd][match], -1)


def in_crowd(boxes: Tensor, target: Targets) -> Tensor:
    """Which boxes (n, 4) lie by more than half in one crowd region."""
    crowd = target.boxes[target.crowd]
    if not len(crowd):
        return torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    share = intersection(boxes, crowd) / box_area(boxes).clamp(min=1e-6)[:, None]
    return share.amax(1) > 0.5
