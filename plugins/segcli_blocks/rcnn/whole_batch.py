"""Proposals and detections of all images of a batch at once, for GPUs.

A GPU waits for the host between hundreds of small kernels when images are processed one after
another: on an H200 the proposals of 16 images took 63 ms, and the network before them 39. Here the
number of kernels does not depend on the batch. The results are those of `rpn.propose` and
`box_head.detect`, except for rounding: boxes of different levels and classes are compared as they
are, and not after moving them apart.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from segcli.types import Size
from segcli_blocks.nms import class_nms
from segcli_blocks.rcnn.box_coder import decode, whole
from segcli_blocks.rcnn.conventions import BOX_WEIGHTS, Conventions
from segcli_blocks.segmenter import Selection, keep_categories

_MATRIX = 1 << 24  # overlaps that are computed at once
_CANDIDATES = 50_000  # detections that are suppressed at once; nms needs a bit for each pair
_STEPS = 4  # of suppression between two looks at whether anything has changed


def pays(values: Tensor) -> bool:
    """Whether the values are on a device where this is faster than one image after another."""
    return values.is_cuda


def propose(
    logits: Sequence[Tensor],
    deltas: Sequence[Tensor],
    anchors: Sequence[Tensor],
    contents: Sequence[Size],
    conventions: Conventions,
) -> list[Tensor]:
    """Logits (B, n_l) and deltas (B, n_l, 4) of every level -> proposals (n_b, 4) of every image,
    best first, at test."""
    tops = [score.topk(min(conventions.per_level[0], score.shape[1]), 1) for score in logits]
    picked = [
        delta.gather(1, index[..., None].expand(-1, -1, 4))
        for delta, (_, index) in zip(deltas, tops, strict=True)
    ]
    around = [anchor[index] for anchor, (_, index) in zip(anchors, tops, strict=True)]
    rank = torch.cat([top for top, _ in tops], 1)  # (B, K)
    box = decode(
        torch.cat(picked, 1).flatten(0, 1),
        torch.cat(around, 1).flatten(0, 1),
        (1.0, 1.0, 1.0, 1.0),
        inclusive=conventions.inclusive,
        both=conventions.mmdet1,
    )
    box = clip(box.view(*rank.shape, 4), contents, inclusive=conventions.inclusive)
    ends = whole(box, inclusive=conventions.inclusive)
    large = (ends[..., 2:] - ends[..., :2]).amin(-1) >= conventions.smallest
    sizes = [index.shape[1] for _, index in tops]
    stays = torch.cat(
        [
            suppress(*level, conventions.proposal_iou)
            for level in zip(ends.split(sizes, 1), large.split(sizes, 1), strict=True)
        ],
        1,
    )
    rank = rank if conventions.rank_logits else rank.sigmoid()
    most = min(conventions.proposals[0], rank.shape[1])
    order = rank.masked_fill(~stays, -torch.inf).topk(most, 1).indices
    chosen = box.gather(1, order[..., None].expand(-1, -1, 4))
    counts = stays.sum(1).clamp(max=most).tolist()
    return [one[:count] for one, count in zip(chosen, counts, strict=True)]


def suppress(boxes: Tensor, candidates: Tensor, iou: float) -> Tensor:
    """Which of the `candidates` (G, k) stay, among boxes (G, k, 4) that are best first in each
    group: those that no better one that stays overlaps by more than `iou`.

    Greedy suppression is the only state in which this holds for every box, and repeating the rule
    reaches it: after n steps the n best of each group are decided.
    """
    step = max(1, _MATRIX // max(1, boxes.shape[1] ** 2))
    parts = zip(boxes.split(step), candidates.split(step), strict=True)
    return torch.cat([_suppress(*part, iou) for part in parts])


def _suppress(boxes: Tensor, candidates: Tensor, iou: float) -> Tensor:
    left, top, right, bottom = boxes.unbind(-1)
    shared = _shared(left, right).mul_(_shared(top, bottom))
    area = (right - left) * (bottom - top)
    over = shared / (area[:, :, None] + area[:, None] - shared) > iou
    exact = torch.float32 if boxes.device.type == "cpu" else torch.float16  # zeros and ones
    better = over.to(exact).triu_(diagonal=1)
    stays = candidates
    with torch.autocast(boxes.device.type, enabled=False):  # it would cast `better` each time
        while True:
            for _ in range(_STEPS):
                before = stays
                overlapped = torch.bmm(stays.to(exact)[:, None], better)[:, 0] > 0
                stays = candidates & ~overlapped
            if torch.equal(before, stays):
                return stays


def _shared(low: Tensor, high: Tensor) -> Tensor:
    """The lengths (G, k, k) that the intervals of low and high (G, k) share."""
    first = torch.maximum(low[:, :, None], low[:, None])
    return torch.minimum(high[:, :, None], high[:, None]).sub_(first).clamp_(min=0)


def clip(boxes: Tensor, contents: Sequence[Size], *, inclusive: bool) -> Tensor:
    """Boxes (B, K, 4) cut to the content of each image."""
    return torch.minimum(boxes.clamp(min=0), _limits(boxes, contents, inclusive)[:, None])


def _limits(boxes: Tensor, contents: Sequence[Size], inclusive: bool) -> Tensor:
    """The largest x, y, x, y (B, 4) of a box in the content of each image."""
    last = int(inclusive)
    return boxes.new_tensor([[w - last, h - last] * 2 for h, w in contents])


def detect(
    scores: Tensor,
    deltas: Tensor,
    regions: Sequence[Tensor],
    contents: Sequence[Size],
    *,
    positions: Tensor | None,
    conventions: Conventions,
    selection: Selection,
    weights: tuple[float, float, float, float] = BOX_WEIGHTS,
    iou: float,
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """As `box_head.detect`, of all regions (n_b, 4): boxes, scores and labels of each image."""
    inclusive = conventions.inclusive
    scores = keep_categories(scores, selection.categories)
    region, label = (scores > selection.min_score).nonzero(as_tuple=True)
    score = scores[region, label]
    image = _owners([len(own) for own in regions], region.device)[region]
    picked = deltas[region].unflatten(1, (-1, 4))
    position = torch.zeros_like(label) if positions is None else positions[label]
    picked = picked[torch.arange(len(label), device=label.device), position]
    box = decode(picked, torch.cat(list(regions))[region], weights, inclusive=inclusive)[:, 0]
    box = torch.minimum(box.clamp(min=0), _limits(box, contents, inclusive)[image])
    ends = whole(box, inclusive=inclusive)
    large = ((ends[:, 2:] - ends[:, :2]).amin(1) >= conventions.smallest_detection).nonzero()[:, 0]
    group = image[large] * scores.shape[1] + label[large]
    suppressed = class_nms if len(large) <= _CANDIDATES else batched_nms
    kept = large[suppressed(ends[large], score[large], group, iou)]
    kept = kept[image[kept].argsort(stable=True)]
    counts = torch.bincount(image[kept], minlength=len(regions)).tolist()
    most = selection.max_masks
    columns = (values[kept].split(counts) for values in (box, score, label))
    return [
        (own_box[:most], own_score[:most], own_label[:most])
        for own_box, own_score, own_label in zip(*columns, strict=True)
    ]


def _owners(counts: Sequence[int], device: torch.device) -> Tensor:
    """0 as often as the first count says, then 1, and so on."""
    return torch.repeat_interleave(torch.tensor(counts)).to(device)
