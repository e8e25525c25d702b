"""FCOS (Tian et al. 2019): the assignment of objects to locations, and the losses.

Letters as in fcos.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from segcli.types import Targets
from segcli_blocks.fcos import Dense, Points, flat
from segcli_blocks.losses import Overlap, box_overlap, focal_sum
from segcli_blocks.targets import counted, crowded, labels_of, smallest


@dataclass(frozen=True, slots=True)
class Assigned:
    """One image's targets without crowds: `boxes` (T, 4) px, `labels` (T,), `masks` bool
    (T, H/4, W/4), and `match` (L,), the target that each location learns or -1."""

    boxes: Tensor
    labels: Tensor
    masks: Tensor
    match: Tensor


def match(
    points: Points,
    boxes: Tensor,
    areas: Tensor,
    *,
    centres: Tensor,
    radius: float | None = 1.5,
    masks: Tensor | None = None,
) -> Tensor:
    """Which target (L,) each location learns, -1: none.

    A location may learn a target when it lies within `radius` strides of its centre (T, 2) and in
    its box (T, 4), strictly; when the farthest side is within the level's reach; and, with
    `masks` bool (T, H, W), when its pixel belongs to the target. Of several the one with the
    smallest `areas` (T,) is taken.
    """
    if not len(boxes):
        return torch.full_like(points.level, -1)
    xy = points.xy[:, None]  # (L, 1, 2)
    sides = torch.cat((xy - boxes[:, :2], boxes[:, 2:] - xy), -1)  # (L, T, 4)
    allowed = sides.amin(-1) > 0
    if radius is not None:
        allowed &= (xy - centres).abs().amax(-1) < radius * points.stride[:, None]
    farthest = sides.amax(-1)
    allowed &= (farthest >= points.reach[:, :1]) & (farthest <= points.reach[:, 1:])
    if masks is not None:
        allowed &= at_points(masks, points).T
    return smallest(allowed.T, areas)


def at_points(masks: Tensor, points: Points) -> Tensor:
    """bool (T, H, W) -> bool (T, L): the masks' values at the locations, false beyond them."""
    h, w = masks.shape[-2:]
    x, y = points.xy.long().unbind(1)
    inside = (x < w) & (y < h)
    return masks[:, y.clamp(max=h - 1), x.clamp(max=w - 1)] & inside


def distances_to(points: Points, boxes: Tensor, match: Tensor) -> Tensor:
    """Distances (L, 4), in strides, from each location to the sides of its target's box.

    Meaningless where `match` (L,) is -1.
    """
    if not len(boxes):
        return points.xy.new_zeros((len(points.xy), 4))
    box = boxes[match.clamp(min=0)]
    sides = torch.cat((points.xy - box[:, :2], box[:, 2:] - points.xy), 1)
    return sides / points.stride[:, None]


def centerness_of(distances: Tensor) -> Tensor:
    """FCOS eq. 3: (n, 4) -> (n,), 1 in the middle of a box, 0 at its sides."""
    across, along = distances[:, 0::2], distances[:, 1::2]
    share = (across.amin(1) / across.amax(1)) * (along.amin(1) / along.amax(1))
    return share.sqrt()


def losses_of(
    dense: Dense,
    points: Points,
    assigned: Sequence[Assigned],
    targets: Sequence[Targets],
    *,
    kind: Overlap = "giou",
) -> dict[str, Tensor]:
    """The three losses of a batch, one `Assigned` and one `Targets` per image."""
    classes = dense.logits[0].shape[1]
    labels, distances, counts = [], [], []
    for own, target in zip(assigned, targets, strict=True):
        label = labels_of(own.labels, own.match)
        crowd = crowded(target, at_points(target.masks, points))
        labels.append(label)
        distances.append(distances_to(points, own.boxes, own.match))
        counts.append(counted(target, label, crowd, classes))
    return dense_losses(
        dense, torch.stack(labels), torch.stack(distances), torch.stack(counts), kind=kind
    )


def dense_losses(
    dense: Dense, labels: Tensor, distances: Tensor, counts: Tensor, *, kind: Overlap = "giou"
) -> dict[str, Tensor]:
    """FCOS eq. 2. `labels` (B, L), -1 without target; `distances` (B, L, 4); `counts` (B, L, C)."""
    positive = labels >= 0
    total = positive.sum().clamp(min=1)
    classes = focal_sum(flat(dense.logits), labels, counts) / total
    goal = distances[positive]
    centre = centerness_of(goal)
    overlap = box_overlap(flat(dense.distances)[positive], goal, kind)
    given = flat(dense.centerness)[..., 0][positive]
    return {
        "class": classes,
        "box": (overlap * centre).sum() / centre.sum().clamp(min=1e-6),
        "centerness": F.binary_cross_entropy_with_logits(given, centre, reduction="sum") / total,
    }
