"""Anchors, box coding and the region proposal network's way from score maps to boxes.

Faster R-CNN (Ren et al. 2015), section 3; FPN (Lin et al. 2017), sections 4.1 and 4.2. Boxes are
xyxy in canvas px, float32.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import batched_nms, clip_boxes_to_image

from segcli.types import Size

_LONGEST = math.log(1000.0 / 16)  # no box grows by more than this factor in one step


@dataclass(frozen=True, slots=True)
class Conventions:
    """Where implementations with equal layers still differ; see the README of this plugin."""

    mean: tuple[float, float, float]  # RGB, 0..255
    std: tuple[float, float, float]
    anchor_sizes: tuple[int, ...] = (32, 64, 128, 256, 512)  # px, one per level
    round_anchors: bool = True
    aligned: bool = False  # RoIAlign's half-pixel shift
    sampling_ratio: int = 2  # 0: adaptive
    rank_logits: bool = False  # suppress proposals by logit, not by probability
    per_level: tuple[int, int] = (1000, 2000)  # proposals kept before suppression: test, training
    proposals: tuple[int, int] = (1000, 2000)  # and after it
    canonical: float = 224.0  # px, side of a region that the map of stride 16 serves
    smallest: float = 1e-3  # px, side of a proposal
    smallest_detection: float = 1e-2
    region_samples: int = 512  # regions of an image that the second stage learns from
    beta: float = 1 / 9  # of the smooth L1 loss of boxes; 0 is plain L1


def anchors_of(shapes: Sequence[Size], canvas: Size, conventions: Conventions) -> list[Tensor]:
    """One (h * w * 3, 4) tensor a level, in order row, column, aspect ratio (0.5, 1, 2 = h / w)."""
    levels = []
    for (h, w), size in zip(shapes, conventions.anchor_sizes, strict=True):
        ratio = torch.tensor([0.5, 1.0, 2.0]).sqrt()
        half_w, half_h = size / ratio / 2, size * ratio / 2
        cell = torch.stack((-half_w, -half_h, half_w, half_h), dim=1)  # (3, 4)
        if conventions.round_anchors:
            cell = cell.round()
        stride_y, stride_x = canvas[0] // h, canvas[1] // w
        if not conventions.round_anchors:  # the true stride also where the canvas is no multiple
            stride_y = stride_x = 2 ** round(math.log2(canvas[0] / h))
        y = torch.arange(h, dtype=torch.float32) * stride_y
        x = torch.arange(w, dtype=torch.float32) * stride_x
        grid = torch.stack(
            (x.repeat(h), y.repeat_interleave(w), x.repeat(h), y.repeat_interleave(w)), dim=1
        )
        levels.append((grid[:, None] + cell[None]).reshape(-1, 4))
    return levels


def decode(deltas: Tensor, boxes: Tensor, weights: Sequence[float]) -> Tensor:
    """Apply deltas (N, K * 4) to boxes (N, 4) -> (N, K, 4); Faster R-CNN eq. 2, inverted."""
    w, h = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    x, y = boxes[:, 0] + 0.5 * w, boxes[:, 1] + 0.5 * h
    per_class = deltas.reshape(len(boxes), deltas.shape[1] // 4, 4)  # (N, K, 4), N = 0 too
    dx, dy, dw, dh = (per_class / deltas.new_tensor(weights)).unbind(-1)
    cx, cy = dx * w[:, None] + x[:, None], dy * h[:, None] + y[:, None]
    half_w = 0.5 * torch.exp(dw.clamp(max=_LONGEST)) * w[:, None]
    half_h = 0.5 * torch.exp(dh.clamp(max=_LONGEST)) * h[:, None]
    return torch.stack((cx - half_w, cy - half_h, cx + half_w, cy + half_h), dim=-1)


def encode(targets: Tensor, boxes: Tensor, weights: Sequence[float]) -> Tensor:
    """The deltas (N, 4) that lead from boxes (N, 4) to targets (N, 4); Faster R-CNN eq. 2."""
    w, h = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    tw, th = targets[:, 2] - targets[:, 0], targets[:, 3] - targets[:, 1]
    dx = (targets[:, 0] + 0.5 * tw - boxes[:, 0] - 0.5 * w) / w
    dy = (targets[:, 1] + 0.5 * th - boxes[:, 1] - 0.5 * h) / h
    deltas = torch.stack((dx, dy, torch.log(tw / w), torch.log(th / h)), dim=1)
    return deltas * deltas.new_tensor(weights)


def flatten(maps: Sequence[Tensor], values: int) -> list[Tensor]:
    """(B, 3 * values, h, w) a level -> (B, h * w * 3, values), float32, in the anchors' order."""
    return [m.float().unflatten(1, (3, values)).permute(0, 3, 4, 1, 2).flatten(1, 3) for m in maps]


def propose(
    scores: Sequence[Tensor],
    deltas: Sequence[Tensor],
    anchors: Sequence[Tensor],
    content: Size,
    *,
    conventions: Conventions,
    training: bool,
) -> Tensor:
    """One image: logits (n_l,) and deltas (n_l, 4) a level -> proposals (<= `proposals`, 4)."""
    boxes, logits, level_of = [], [], []
    for level, (score, delta, anchor) in enumerate(zip(scores, deltas, anchors, strict=True)):
        top, index = score.topk(min(conventions.per_level[training], len(score)))
        boxes.append(decode(delta[index], anchor[index], (1.0, 1.0, 1.0, 1.0))[:, 0])
        logits.append(top)
        level_of.append(torch.full_like(index, level))
    box, rank, of = torch.cat(boxes), torch.cat(logits), torch.cat(level_of)
    rank = rank if conventions.rank_logits else rank.sigmoid()
    box = clip_boxes_to_image(box, content)
    sides = box[:, 2:] - box[:, :2]
    large = sides.amin(1) >= conventions.smallest
    box, rank, of = box[large], rank[large], of[large]
    keep = batched_nms(box, rank, of, 0.7)[: conventions.proposals[training]]
    return box[keep]
