"""Training targets of RF-DETR in the coordinates of its outputs, and their assignment.

Letters: Q queries of all groups, L logits, T targets of an image; h, w px of the content.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torchvision.ops import box_convert, generalized_box_iou

from segcli.types import Size, Targets
from segcli_blocks.set_prediction import assign, at_points, pair_costs
from segcli_blocks.targets import annotated, counted, crowded, without_crowds

# The authors' costs of a pair, and their focal weights in that of the class.
CLASS, L1, GIOU, ENTROPY, DICE = 2.0, 5.0, 2.0, 5.0, 5.0
ALPHA, GAMMA = 0.25, 2.0
CELLS = 16  # cells of a mask for each point at which masks are compared


@dataclass(frozen=True, slots=True)
class Truth:
    """One image's objects: `labels` i64 (T,) index the logits; `boxes` (T, 4) cxcywh in [0, 1] of
    the content; `masks` f32 (T, h, w), 0 or 1. `source` has the crowds, and which of the logits are
    annotated, in the content's px."""

    labels: Tensor
    boxes: Tensor
    masks: Tensor
    source: Targets


def truth_of(target: Targets, content: Size, logit_of: Tensor, logits: int) -> Truth:
    """An image's targets; `logit_of` i64 (C,) gives each label its logit, of which there are
    `logits`. Those without a category learn that there is nothing."""
    h, w = content
    known = torch.ones(logits, dtype=torch.bool, device=logit_of.device)
    known[logit_of] = annotated(target, len(logit_of)).to(known.device)
    source = replace(target, masks=target.masks[:, :h, :w], exhaustive=known)
    single = without_crowds(source)
    span = single.boxes.new_tensor([w, h, w, h])
    boxes = box_convert(single.boxes / span, "xyxy", "cxcywh")
    return Truth(logit_of[single.labels], boxes, single.masks.float(), source)


def match(
    logits: Tensor, boxes: Tensor, masks: Tensor, truth: Truth, *, groups: int
) -> tuple[Tensor, Tensor]:
    """Queries and targets i64 (n,): in every group each target has the query that suits it best.

    One image: logits (Q, L), boxes (Q, 4) cxcywh, masks (Q, h', w') logits.
    """
    with torch.no_grad():
        cost = costs(logits.float(), boxes.float(), masks.float(), truth)
    size = len(cost) // groups
    pairs = [assign(part) for part in cost.split(size)]
    return (
        torch.cat([queries + number * size for number, (queries, _) in enumerate(pairs)]),
        torch.cat([targets for _, targets in pairs]),
    )


def costs(logits: Tensor, boxes: Tensor, masks: Tensor, truth: Truth) -> Tensor:
    """(Q, T): what it costs that a query learns a target."""
    p = logits.sigmoid()[:, truth.labels]
    right = ALPHA * (1 - p) ** GAMMA * -(p + 1e-8).log()
    wrong = (1 - ALPHA) * p**GAMMA * -(1 - p + 1e-8).log()
    points = torch.rand(1, masks[0].numel() // CELLS, 2, device=masks.device)
    entropy, dice = pair_costs(
        at_points(masks, points), at_points(truth.masks, points, mode="nearest")
    )
    giou = generalized_box_iou(corners(boxes), corners(truth.boxes))
    return (
        CLASS * (right - wrong)
        + L1 * torch.cdist(boxes, truth.boxes, p=1)
        - GIOU * giou
        + ENTROPY * entropy
        + DICE * dice
    )


def corners(boxes: Tensor) -> Tensor:
    """cxcywh -> xyxy."""
    return box_convert(boxes, "cxcywh", "xyxy")


def counts(truth: Truth, labels: Tensor, boxes: Tensor) -> Tensor:
    """bool (Q, L): the logits that are right or wrong at all, where the queries' boxes (Q, 4) lie
    and `labels` i64 (Q,), -1 for none, are learnt.

    A query that learns nothing and whose box has its centre in a crowd is neither.
    """
    h, w = truth.source.masks.shape[1:]
    x = (boxes[:, 0] * w).long().clamp(0, w - 1)
    y = (boxes[:, 1] * h).long().clamp(0, h - 1)
    crowd = crowded(truth.source, truth.source.masks[:, y, x])
    assert truth.source.exhaustive is not None
    return counted(truth.source, labels, crowd, len(truth.source.exhaustive))


def learnt(truth: Truth, queries: Tensor, targets: Tensor, count: int) -> Tensor:
    """i64 (count,): the logit that each query learns, -1 for none."""
    labels = torch.full((count,), -1, device=queries.device)
    labels[queries] = truth.labels[targets]
    return labels


def objects(truths: Sequence[Truth]) -> int:
    """How many targets the batch has."""
    return sum(len(truth.labels) for truth in truths)
