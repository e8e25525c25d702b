"""What Mask R-CNN learns from: matching, sampling and the five losses.

Faster R-CNN (Ren et al. 2015) section 3.1.2, Mask R-CNN (He et al. 2017) section 3. Two additions
make partly annotated data usable: what lies in a crowd region is neither object nor background,
and where only some categories are annotated the others are left out of the softmax.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_area, box_iou, roi_align

from segcli.types import Targets
from segcli_maskrcnn.proposals import encode

RPN_SAMPLES, RPN_POSITIVE = 256, 0.5
REGION_POSITIVE = 0.25


@dataclass(frozen=True, slots=True)
class Regions:
    """Sampled regions of one image: `boxes` (n, 4); `labels` (n,), -1 is background; `match` (n,)
    the target of each (meaningless for background); `drawn` (n,): objects whose target has an
    outline; `exhaustive` (C,) or None, see Targets."""

    boxes: Tensor
    labels: Tensor
    match: Tensor
    truth: Tensor  # (n, 4) the boxes of the matched targets
    drawn: Tensor
    exhaustive: Tensor | None


def _sample(positive: Tensor, negative: Tensor, count: int, share: float) -> tuple[Tensor, Tensor]:
    """Indices of at most count * share positives and of negatives that fill up to `count`."""
    pos, neg = positive.nonzero()[:, 0], negative.nonzero()[:, 0]
    n_pos = min(len(pos), int(count * share))
    n_neg = min(len(neg), count - n_pos)
    return pos[torch.randperm(len(pos))[:n_pos]], neg[torch.randperm(len(neg))[:n_neg]]


def _in_crowd(boxes: Tensor, target: Targets) -> Tensor:
    """Which boxes (n, 4) lie by more than half in one crowd region."""
    crowd = target.boxes[target.crowd]
    if not len(crowd):
        return torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    corner = torch.maximum(boxes[:, None, :2], crowd[None, :, :2])
    far = torch.minimum(boxes[:, None, 2:], crowd[None, :, 2:])
    shared = (far - corner).clamp(min=0).prod(2)
    return (shared / box_area(boxes).clamp(min=1e-6)[:, None]).amax(1) > 0.5


def _match_anchors(anchors: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Per anchor the best target and 1 object, 0 background, -1 neither (IoU 0.3 .. 0.7).

    A target's best anchors are objects whatever their IoU is.
    """
    if not len(truth):
        nothing = torch.zeros(len(anchors), dtype=torch.long, device=anchors.device)
        return nothing, nothing.clone()
    iou = box_iou(truth, anchors)  # (T, A)
    best, match = iou.max(0)
    state = torch.full_like(match, -1)
    state[best < 0.3] = 0
    state[best >= 0.7] = 1
    top = iou.amax(1, keepdim=True)
    state[((iou == top) & (top > 0)).any(0)] = 1
    return match, state


def rpn_losses(
    logits: Tensor, deltas: Tensor, anchors: Tensor, targets: Sequence[Targets], beta: float
) -> tuple[Tensor, Tensor]:
    """Logits (B, A), deltas (B, A, 4), anchors (A, 4) -> objectness and box losses.

    In an image where some categories are not annotated, a background anchor that the network
    believes in may be such an object: it is left out.
    """
    objectness, box, count = [], [], 0
    for logit, delta, target in zip(logits, deltas, targets, strict=True):
        truth = target.boxes[~target.crowd]
        match, state = _match_anchors(anchors, truth)
        background = (state == 0) & ~_in_crowd(anchors, target)
        if target.exhaustive is not None and not bool(target.exhaustive.all()):
            background &= logit.detach() < 0
        pos, neg = _sample(state == 1, background, RPN_SAMPLES, RPN_POSITIVE)
        chosen = torch.cat((pos, neg))
        wanted = torch.zeros(len(chosen), device=logit.device)
        wanted[: len(pos)] = 1
        objectness.append(
            F.binary_cross_entropy_with_logits(logit[chosen], wanted, reduction="sum")
        )
        if len(pos):
            goal = encode(truth[match[pos]], anchors[pos], (1.0, 1.0, 1.0, 1.0))
            box.append(_smooth_l1(delta[pos], goal, beta))
        count += len(chosen)
    total = max(count, 1)
    return torch.stack(objectness).sum() / total, sum(box, deltas.sum() * 0) / total


@torch.no_grad()
def region_targets(proposals: Tensor, target: Targets, samples: int) -> Regions:
    """Label one image's proposals (n, 4), the targets' own boxes among them; keep `samples`."""
    truth = target.boxes[~target.crowd]
    labels_of = target.labels[~target.crowd]
    boxes = torch.cat((proposals, truth))
    labels = torch.full((len(boxes),), -1, dtype=torch.long, device=boxes.device)
    match = torch.zeros_like(labels)
    if len(truth):
        best, match = box_iou(truth, boxes).max(0)
        labels = torch.where(best >= 0.5, labels_of[match], -1)
    background = (labels < 0) & ~_in_crowd(boxes, target)
    pos, neg = _sample(labels >= 0, background, samples, REGION_POSITIVE)
    chosen = torch.cat((pos, neg))
    matched = truth[match[chosen]] if len(truth) else boxes[chosen]
    drawn = labels[chosen] >= 0
    if target.outlined is not None and len(truth):
        drawn &= target.outlined[~target.crowd][match[chosen]]
    return Regions(boxes[chosen], labels[chosen], match[chosen], matched, drawn, target.exhaustive)


def box_losses(
    logits: Tensor,
    deltas: Tensor,
    sampled: Sequence[Regions],
    *,
    positions: Tensor,
    agnostic: bool,
    beta: float,
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
    goal = encode(truth, boxes, (10.0, 10.0, 5.0, 5.0))
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


def mask_loss(
    logits: Tensor,
    boxes: Sequence[Tensor],
    sampled: Sequence[Regions],
    targets: Sequence[Targets],
    *,
    aligned: bool,
) -> Tensor:
    """Mean binary cross-entropy of logits (N, 28, 28) on the true masks cut out by the boxes.

    Cut without the half-pixel shift (`aligned` False) a mask is learned half a pixel off.
    """
    if not len(logits):
        return logits.sum() * 0
    goals = []
    for box, regions, target in zip(boxes, sampled, targets, strict=True):
        index = regions.match[regions.drawn].to(box)[:, None]
        masks = target.masks[~target.crowd][:, None].float()
        if len(box):
            rois = torch.cat((index, box), 1)
            goals.append(roi_align(masks, rois, 28, 1.0, aligned=aligned)[:, 0])
    return F.binary_cross_entropy_with_logits(logits, torch.cat(goals))


def _smooth_l1(predicted: Tensor, wanted: Tensor, beta: float) -> Tensor:
    return F.smooth_l1_loss(predicted, wanted, beta=beta, reduction="sum")
