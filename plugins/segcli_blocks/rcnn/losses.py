"""The losses of both stages (Ren et al. 2015, section 3.1.2; He et al. 2017, section 3).

Two additions make partly annotated data usable: what lies in a crowd region is neither object nor
background, and where only some categories are annotated the others are left out of the softmax.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import roi_align

from segcli.types import Targets
from segcli_blocks.rcnn.box_coder import encode
from segcli_blocks.rcnn.conventions import BOX_WEIGHTS, Conventions
from segcli_blocks.rcnn.matcher import in_crowd, match_anchors
from segcli_blocks.rcnn.sampler import Regions, sample

RPN_SAMPLES, RPN_POSITIVE = 256, 0.5


def rpn_losses(
    logits: Tensor,
    deltas: Tensor,
    anchors: Tensor,
    targets: Sequence[Targets],
    beta: float,
    *,
    inclusive: bool = False,
) -> tuple[Tensor, Tensor]:
    """Logits (B, A), deltas (B, A, 4), anchors (A, 4) -> objectness and box losses.

    In an image where some categories are not annotated, a background anchor that the network
    believes in may be such an object: it is left out.
    """
    objectness, box, count = [], [], 0
    for logit, delta, target in zip(logits, deltas, targets, strict=True):
        truth = target.boxes[~target.crowd]
        match, state = match_anchors(anchors, truth, inclusive=inclusive)
        background = (state == 0) & ~in_crowd(anchors, target)
        if target.exhaustive is not None and not bool(target.exhaustive.all()):
            background &= logit.detach() < 0
        pos, neg = sample(state == 1, background, RPN_SAMPLES, RPN_POSITIVE)
        chosen = torch.cat((pos, neg))
        wanted = torch.zeros(len(chosen), device=logit.device)
        wanted[: len(pos)] = 1
        objectness.append(
            F.binary_cross_entropy_with_logits(logit[chosen], wanted, reduction="sum")
        )
        if len(pos):
            weights = (1.0, 1.0, 1.0, 1.0)
            goal = encode(truth[match[pos]], anchors[pos], weights, inclusive=inclusive)
            box.append(_smooth_l1(delta[pos], goal, beta))
        count += len(chosen)
    total = max(count, 1)
    return torch.stack(objectness).sum() / total, sum(box, deltas.sum() * 0) / total


def box_losses(
    logits: Tensor,
    deltas: Tensor,
    sampled: Sequence[Regions],
    *,
    positions: Tensor,
    agnostic: bool,
    beta: float,
    weights: Sequence[float] = BOX_WEIGHTS,
    inclusive: bool = False,
) -> tuple[Tensor, Tensor]:
    """Logits (N, K), deltas (N, K * 4 or 4) of all sampled regions -> class and box losses."""
    labels = torch.cat([s.labels for s in sampled])
    if not len(labels):
        return logits.sum() * 0, deltas.sum() * 0
    logits = logits.masked_fill(~_known(sampled, positions, logits.shape[1]), float("-inf"))
    wanted = torch.where(labels >= 0, positions[labels.clamp(min=0)], 0)
    classes = F.cross_entropy(logits, wanted)
    pos = (labels >= 0).nonzero()[:, 0]
    boxes = torch.cat([s.boxes for s in sampled])[pos]
    truth = torch.cat([s.truth for s in sampled])[pos]
    channel = torch.zeros_like(pos) if agnostic else wanted[pos]
    picked = deltas[pos].unflatten(1, (-1, 4))[torch.arange(len(pos)), channel]
    goal = encode(truth, boxes, weights, inclusive=inclusive)
    return classes, _smooth_l1(picked, goal, beta) / len(labels) + deltas.sum() * 0


def _known(sampled: Sequence[Regions], positions: Tensor, count: int) -> Tensor:
    """(N, K) which class positions take part in each region's softmax: background, what the image's
    data set annotates everywhere, and what the region shows."""
    rows = []
    for regions in sampled:
        row = torch.ones(count, dtype=torch.bool, device=positions.device)
        if regions.exhaustive is not None:
            row[positions] = regions.exhaustive
        row = row.repeat(len(regions.labels), 1)
        objects = (regions.labels >= 0).nonzero()[:, 0]
        row[objects, positions[regions.labels[objects]]] = True
        rows.append(row)
    return torch.cat(rows)


def mask_targets(
    positive: Sequence[Regions],
    targets: Sequence[Targets],
    size: int,
    conventions: Conventions,
) -> Tensor:
    """The true masks (N, size, size), cut out by the boxes of the objects.

    torchvision cuts them as it cuts features, with a shift, so that masks are learned half a px
    off. Where the authors draw polygons into the box, there is no shift (`exact_masks`).
    """
    aligned = conventions.exact_masks
    goals = []
    for regions, target in zip(positive, targets, strict=True):
        masks = target.masks[~target.crowd][:, None].float()
        if len(regions.boxes):
            rois = torch.cat((regions.match.to(regions.boxes)[:, None], regions.boxes), 1)
            goals.append(roi_align(masks, rois, size, 1.0, aligned=aligned)[:, 0])
    if not goals:
        return targets[0].boxes.new_zeros((0, size, size))
    soft = torch.cat(goals)
    return (soft >= 0.5).float() if conventions.binary_masks else soft


def mask_loss(logits: Tensor, goals: Tensor) -> Tensor:
    """Mean binary cross-entropy of logits (N, s, s); zero without any."""
    if not len(logits):
        return logits.sum() * 0
    return F.binary_cross_entropy_with_logits(logits, goals)


def _smooth_l1(predicted: Tensor, wanted: Tensor, beta: float) -> Tensor:
    return F.smooth_l1_loss(predicted, wanted, beta=beta, reduction="sum")
