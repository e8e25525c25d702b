"""Priors: the boxes from which the head predicts, and how boxes are told relative to them.

All boxes here are relative to the canvas, 0..1: priors (P, 4) as centre x, centre y, width and
height, others as xyxy. Their order: level, row, column, scale, ratio.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from segcli.types import Size

_CENTRE, _SIZE = 0.1, 0.2  # the SSD variances


@dataclass(frozen=True, slots=True)
class Anchors:
    """`scales` px, some per level; `ratios` of width to height. `square`: the authors' first
    models, by mistake, have squares of side scale * sqrt(ratio) instead."""

    scales: tuple[tuple[float, ...], ...]
    ratios: tuple[float, ...] = (1.0, 0.5, 2.0)
    square: bool = True

    @property
    def per_cell(self) -> int:
        return len(self.scales[0]) * len(self.ratios)


def priors_of(shapes: Sequence[Size], canvas: Size, anchors: Anchors) -> Tensor:
    """Priors (P, 4) of levels of `shapes` (rows, columns) on a canvas of (height, width) px."""
    found = []
    for (rows, columns), scales in zip(shapes, anchors.scales, strict=True):
        y = (torch.arange(rows, dtype=torch.float64) + 0.5) / rows
        x = (torch.arange(columns, dtype=torch.float64) + 0.5) / columns
        sizes = []
        for scale in scales:
            for ratio in anchors.ratios:
                width = scale * math.sqrt(ratio)
                height = width if anchors.square else scale / math.sqrt(ratio)
                sizes.append((width / canvas[1], height / canvas[0]))
        size = torch.tensor(sizes, dtype=torch.float64)
        level = torch.zeros(rows, columns, len(sizes), 4, dtype=torch.float64)
        level[..., 0] = x[:, None]
        level[..., 1] = y[:, None, None]
        level[..., 2:] = size
        found.append(level.view(-1, 4))
    return torch.cat(found).float()


def corners(priors: Tensor) -> Tensor:
    """Centre and size (..., 4) -> xyxy."""
    half = priors[..., 2:] / 2
    return torch.cat((priors[..., :2] - half, priors[..., :2] + half), -1)


def decode(deltas: Tensor, priors: Tensor) -> Tensor:
    """Predicted (..., P, 4) -> boxes xyxy (..., P, 4), not clipped."""
    centre = priors[..., :2] + deltas[..., :2] * _CENTRE * priors[..., 2:]
    size = priors[..., 2:] * (deltas[..., 2:] * _SIZE).exp()
    low = centre - size / 2
    return torch.cat((low, size + low), -1)


def encode(boxes: Tensor, priors: Tensor) -> Tensor:
    """The inverse of `decode`: boxes xyxy (n, 4) -> (n, 4)."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 - priors[:, :2]
    size = (boxes[:, 2:] - boxes[:, :2]) / priors[:, 2:]
    return torch.cat((centre / (_CENTRE * priors[:, 2:]), size.log() / _SIZE), 1)
