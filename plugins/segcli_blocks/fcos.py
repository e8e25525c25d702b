"""FCOS (Tian et al. 2019): the dense head, which location learns which object, and the losses.

Letters: B images, L locations of all levels of an image (level after level, rows first), T
targets, C categories, n chosen locations. A location of level l stands for the stride_l x stride_l
px around ((j + 1/2) stride, (i + 1/2) stride); distances are to left, top, right and bottom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segcli.types import Targets
from segcli_blocks.losses import Overlap, box_overlap, focal
from segcli_blocks.towers import Scale, init_normal, patches, prior, tower

FARTHEST = 1e8  # px: how far the coarsest level's objects may reach


@dataclass(frozen=True, slots=True)
class Dense:
    """What the head says everywhere, a map per level: `logits` (B, C, h, w), `distances`
    (B, 4, h, w) >= 0 in strides, `centerness` logits (B, 1, h, w), and the maps `features`
    (B, width, h, w) of the box tower, from which a family predicts more."""

    logits: list[Tensor]
    distances: list[Tensor]
    centerness: list[Tensor]
    features: list[Tensor]

    def image(self, b: int) -> Dense:
        """Image b alone, B = 1."""
        lists = (self.logits, self.distances, self.centerness, self.features)
        return Dense(*([level[b : b + 1] for level in levels] for levels in lists))


@dataclass(frozen=True, slots=True)
class Points:
    """The locations of a canvas: `xy` (L, 2) px, `level` (L,), `stride` (L,) px, `first`: the
    index of each level's first location, `reach` (L, 2) px: how far the farthest side of an
    object may be for the location to learn it, both ends included."""

    xy: Tensor
    level: Tensor
    stride: Tensor
    first: Tensor
    reach: Tensor


class Assigned(Protocol):
    """One image's targets without crowds: `boxes` (T, 4) px, `labels` (T,), and `match` (L,), the
    target of each location or -1."""

    @property
    def boxes(self) -> Tensor: ...
    @property
    def labels(self) -> Tensor: ...
    @property
    def match(self) -> Tensor: ...


class FCOSHead(nn.Module):
    """Shared by all levels: a class and a box tower; centerness comes from the box tower."""

    def __init__(self, inputs: int, classes: int, *, width: int, depth: int, levels: int) -> None:
        super().__init__()
        self.cls_tower = tower(inputs, width, depth)
        self.bbox_tower = tower(inputs, width, depth)
        self.cls_logits = nn.Conv2d(width, classes, 3, padding=1)
        self.bbox_pred = nn.Conv2d(width, 4, 3, padding=1)
        self.centerness = nn.Conv2d(width, 1, 3, padding=1)
        self.scales = nn.ModuleList(Scale() for _ in range(levels))
        init_normal(self)
        prior(self.cls_logits)

    def forward(self, maps: Sequence[Tensor]) -> Dense:
        """Maps (B, inputs, h, w), one per level."""
        dense = Dense([], [], [], [])
        for x, scale in zip(maps, self.scales, strict=True):
            box = self.bbox_tower(x)
            dense.logits.append(self.cls_logits(self.cls_tower(x)).float())
            dense.distances.append(F.relu(scale(self.bbox_pred(box).float())))
            dense.centerness.append(self.centerness(box).float())
            dense.features.append(box)
        return dense


def points_of(maps: Sequence[Tensor], strides: Sequence[int], sizes: Sequence[float]) -> Points:
    """The locations of maps (B, C, h, w); `sizes` px are the limits between levels' objects."""
    limits = [-1.0, *sizes, FARTHEST]
    device = maps[0].device
    xy, counts = [], []
    for features, step in zip(maps, strides, strict=True):
        h, w = features.shape[-2:]
        x = torch.arange(w, device=device, dtype=torch.float32) * step + step // 2
        y = torch.arange(h, device=device, dtype=torch.float32) * step + step // 2
        xy.append(torch.stack((x.expand(h, w), y[:, None].expand(h, w)), -1).reshape(-1, 2))
        counts.append(h * w)
    count = torch.tensor(counts, device=device)
    level = torch.repeat_interleave(torch.arange(len(maps), device=device), count)
    reach = torch.tensor(list(zip(limits, limits[1:], strict=False)), device=device)
    stride = torch.tensor(strides, device=device, dtype=torch.float32)
    return Points(torch.cat(xy), level, stride[level], count.cumsum(0) - count, reach[level])


def flat(maps: Sequence[Tensor]) -> Tensor:
    """Maps (B, k, h, w) -> (B, L, k)."""
    return torch.cat([m.flatten(2).transpose(1, 2) for m in maps], 1)


def patches_at(dense: Dense, points: Points, image: Tensor, index: Tensor) -> Tensor:
    """The box tower's 3x3 neighbourhoods (n, width * 9) at locations `index` (n,) of `image` (n,).

    Predictions that only chosen locations need are made there alone, see `towers.conv_at`.
    """
    level = points.level[index]
    inside = index - points.first[level]
    found, order = [], []
    for number, features in enumerate(dense.features):
        chosen = (level == number).nonzero()[:, 0]
        found.append(patches(features, image[chosen], inside[chosen]))
        order.append(chosen)
    return torch.cat(found)[torch.cat(order).argsort()]


# Training.


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
    cost = areas.expand_as(allowed).masked_fill(~allowed, torch.inf)
    smallest, index = cost.min(1)
    return index.masked_fill(smallest.isinf(), -1)


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


def counting(points: Points, match: Tensor, target: Targets, classes: int) -> Tensor:
    """bool (L, C): which class logits of an image are right or wrong at all.

    Left out are locations in a crowd region, and categories that are not fully annotated, both
    only where the location has no target.
    """
    counts = torch.ones((len(match), classes), dtype=torch.bool, device=match.device)
    if bool(target.crowd.any()):
        counts &= ~at_points(target.masks[target.crowd], points).any(0)[:, None]
    if target.exhaustive is not None:
        counts &= target.exhaustive
    return counts | (match >= 0)[:, None]


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
        none = own.match < 0
        known = own.labels[own.match.clamp(min=0)] if len(own.labels) else own.match
        labels.append(known.masked_fill(none, -1))
        distances.append(distances_to(points, own.boxes, own.match))
        counts.append(counting(points, own.match, target, classes))
    return dense_losses(
        dense, torch.stack(labels), torch.stack(distances), torch.stack(counts), kind=kind
    )


def dense_losses(
    dense: Dense, labels: Tensor, distances: Tensor, counts: Tensor, *, kind: Overlap = "giou"
) -> dict[str, Tensor]:
    """FCOS eq. 2. `labels` (B, L), -1 without target; `distances` (B, L, 4); `counts` (B, L, C)."""
    logits = flat(dense.logits)
    positive = labels >= 0
    total = positive.sum().clamp(min=1)
    wanted = torch.zeros_like(logits)
    wanted[positive, labels[positive]] = 1
    classes = torch.where(counts, focal(logits, wanted), 0.0).sum() / total
    goal = distances[positive]
    centre = centerness_of(goal)
    overlap = box_overlap(flat(dense.distances)[positive], goal, kind)
    given = flat(dense.centerness)[..., 0][positive]
    return {
        "class": classes,
        "box": (overlap * centre).sum() / centre.sum().clamp(min=1e-6),
        "centerness": F.binary_cross_entropy_with_logits(given, centre, reduction="sum") / total,
    }


# Inference.


def decode(points: Points, distances: Tensor, index: Tensor) -> Tensor:
    """Boxes (n, 4) xyxy px of the locations `index` (n,); `distances` (n, 4) in strides."""
    px = distances * points.stride[index][:, None]
    xy = points.xy[index]
    return torch.cat((xy - px[:, :2], xy + px[:, 2:]), 1)


def best_per_level(scores: Tensor, allowed: Tensor, points: Points, limit: int) -> Tensor:
    """bool (L, C): of the `allowed` ones (L, C) the `limit` best of every level."""
    kept = torch.zeros_like(allowed)
    bounds = [*points.first.tolist(), len(points.level)]
    for start, end in zip(bounds, bounds[1:], strict=False):
        index = allowed[start:end].flatten().nonzero()[:, 0]
        if len(index) > limit:
            index = index[scores[start:end].flatten()[index].topk(limit).indices]
        kept[start:end].view(-1)[index] = True
    return kept


def wanted_only(allowed: Tensor, categories: frozenset[int] | None) -> Tensor:
    """bool (L, C) with the labels outside `categories` left out."""
    if categories is None:
        return allowed
    wanted = torch.zeros(allowed.shape[1], dtype=torch.bool, device=allowed.device)
    wanted[sorted(categories)] = True
    return allowed & wanted
