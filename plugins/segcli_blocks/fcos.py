"""FCOS (Tian et al. 2019): the dense head, its locations, and its detections.

Letters: B images, L locations of all levels of an image (level after level, rows first), T targets,
C categories, n chosen locations. A location of level l stands for the stride_l x stride_l
px around ((j + 1/2) stride, (i + 1/2) stride); distances are to left, top, right and bottom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import clip_boxes_to_image

from segcli.types import Size
from segcli_blocks.nms import class_nms
from segcli_blocks.segmenter import Selection, keep_categories
from segcli_blocks.towers import Scale, init_normal, patches, prior, tower

FARTHEST = 1e8  # px: how far the coarsest level's objects may reach


@dataclass(frozen=True, slots=True)
class Dense:
    """The head's outputs, one map per level: `logits` (B, C, h, w), `distances`
    (B, 4, h, w) >= 0 in strides, `centerness` logits (B, 1, h, w), and the maps `features`
    (B, width, h, w) of the box tower, from which a family predicts more."""

    logits: list[Tensor]
    distances: list[Tensor]
    centerness: list[Tensor]
    features: list[Tensor]

    @staticmethod
    def of(tensors: Sequence[Tensor]) -> Dense:
        """The inverse of `tensors`."""
        levels = len(tensors) // 4
        return Dense(*(list(tensors[i : i + levels]) for i in range(0, len(tensors), levels)))

    @property
    def tensors(self) -> list[Tensor]:
        """All maps in one list."""
        return [*self.logits, *self.distances, *self.centerness, *self.features]

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


@dataclass(frozen=True, slots=True)
class Detections:
    """Those of one image, best first: `boxes` (n, 4) canvas px, `scores`, `labels` and `index`, the
    location (n,)."""

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    index: Tensor

    def at(self, chosen: Tensor) -> Detections:
        """The chosen ones: indices or bool (n,)."""
        return Detections(*(getattr(self, name)[chosen] for name in self.__slots__))


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


def detect(
    dense: Dense,
    points: Points,
    selection: Selection,
    *,
    root: bool = False,
    candidate: float = 0.0,
    whole_px: Size | None = None,
    per_level: int = 1000,
    iou: float = 0.6,
) -> Detections:
    """One image (B = 1): the `per_level` best of every level, of which one suppresses others of its
    class that it overlaps by more than `iou`; of these the best that are asked for.

    The score is class times centerness, or the `root` of it; the class alone must be above
    `candidate`. `whole_px`: a content of whole px, in which boxes end and to which they are cut
    (the last px belongs to a box, so its sides are one longer than the difference).
    """
    classes = flat(dense.logits)[0].sigmoid()  # (L, C)
    scores = classes * flat(dense.centerness)[0].sigmoid()
    if root:
        scores = scores.sqrt()
    allowed = keep_categories(
        (classes > candidate) & (scores >= selection.min_score), selection.categories
    )
    index, label = best_per_level(scores, allowed, points, per_level).nonzero(as_tuple=True)
    score = scores[index, label]
    boxes = decode(points, flat(dense.distances)[0][index], index)
    compared = boxes
    if whole_px is not None:
        boxes = clip_boxes_to_image(boxes, (whole_px[0] - 1, whole_px[1] - 1))
        compared = boxes + boxes.new_tensor([0, 0, 1, 1])
    best = class_nms(compared, score, label, iou)[: selection.max_masks]
    return Detections(boxes[best], score[best], label[best], index[best])
