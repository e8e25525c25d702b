"""Plant objects in the outputs of the two-stage families, for scripts/data/planted.py."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchvision.ops import box_iou

from scripts.data.planted import AROUND, STEEP, Objects, Replaced, nearest
from segcli.types import Batch


def two_stage(model: Any, batch: Batch, objects: Objects) -> Replaced:
    """Proposals, then the boxes and masks of the best of them; for a cascade, every stage finds the
    same classes, and the last one moves the boxes."""
    from segcli_blocks.rcnn.box_coder import encode
    from segcli_blocks.rcnn.conventions import BOX_WEIGHTS

    maps, scored = model.first_stage(batch)
    heads = model.roi_heads
    for level, anchors in enumerate(scored.anchors):
        overlap, index = box_iou(objects.boxes, anchors).max(1)
        for k in (overlap > 0.4).nonzero()[:, 0].tolist():
            at = index[k : k + 1]
            scored.logits[level][0, at] = 9.0
            scored.deltas[level][0, at] = encode(objects.boxes[k : k + 1], anchors[at], (1.0,) * 4)
    (regions,) = model.rpn.propose(scored, batch.content_sizes)
    cascaded = hasattr(heads, "stage")
    found = heads.stage(0, maps, [regions]) if cascaded else heads.classify(maps, [regions])
    classes, boxes = (torch.zeros_like(t) for t in found)
    background = next(i for i in range(classes.shape[1]) if i not in heads.classes)
    classes[:, background] = 8
    per_class = boxes.view(len(regions), -1, 4)
    weights = heads.weights[-1] if cascaded else BOX_WEIGHTS
    for k, index in enumerate(nearest(objects.boxes, regions)):
        position = int(heads.classes[objects.labels[k]])
        classes[index, position] = 16 - 0.1 * torch.arange(AROUND)
        coded = encode(objects.boxes[k].expand(AROUND, 4), regions[index], weights)
        per_class[index, position if per_class.shape[1] > 1 else 0] = coded
    deltas = per_class.flatten(1)

    def stage(number: int, maps: Any, boxes: Any) -> tuple[Tensor, Tensor]:
        return classes, deltas if number == len(heads.weights) - 1 else torch.zeros_like(deltas)

    second = {"roi_heads.stage": stage} if cascaded else {}
    second |= {} if cascaded else {"roi_heads.classify": lambda maps, boxes: (classes, deltas)}
    return {"first_stage": lambda batch: (maps, scored), **second, **_masks(model)}


def _masks(model: Any) -> Replaced:
    """Ellipses over the boxes, or keypoints in the middle of them, for what the layers find."""
    heads = model.roi_heads
    side = 14 if hasattr(heads, "res5") else 28  # without a pyramid's mask head, half as many cells
    away = torch.linspace(-1, 1, side).square()
    ellipse = STEEP * (1 - away[:, None] - away)
    if hasattr(heads, "heat_maps"):
        count = len(model.info.keypoints)
        heat = torch.zeros(count, 56, 56)
        heat[:, 28, 28] = 16
        return {
            "roi_heads.heat_maps": lambda maps, boxes: heat.expand(
                sum(map(len, boxes)), *heat.shape
            )
        }
    if hasattr(heads, "at_points"):  # PointRend's are found point by point
        side = heads.mask_head.coarse_head.side
        classes = len(model.info.categories)

        def at_points(finest: Any, boxes: Any, coarse: Any, points: Tensor, of: Any) -> Tensor:
            return STEEP * (1 - (2 * points - 1).square().sum(-1))

        def coarse(finest: Any, boxes: Any) -> Tensor:
            return torch.zeros(sum(map(len, boxes)), classes, side, side)

        return {"roi_heads.at_points": at_points, "roi_heads.coarse": coarse}
    if hasattr(heads, "stage_logits"):  # HTC's three heads
        return {
            "roi_heads.steps": lambda features: [features] * 3,
            "roi_heads.stage_logits": lambda number, x, of: ellipse.expand(len(of), 28, 28),
        }
    return {
        "roi_heads.mask_logits": lambda features, of, boxes: ellipse.expand(len(of), side, side)
    }
