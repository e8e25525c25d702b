"""The pyramid, the prototypes and the head; and the priors, from which the head predicts boxes.

Letters as in model.py. Boxes here are relative to the canvas, 0..1: priors (P, 4) as centre x,
centre y, width and height, others as xyxy. The order of priors: level, row, column, scale, ratio.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segcli.types import Size

STRIDES = (8, 16, 32, 64, 128)  # canvas px of a cell of P3..P7
_CENTRE, _SIZE = 0.1, 0.2  # the SSD variances


class FPN(nn.Module):
    """C3, C4, C5 -> P3..P7; sums are resized bilinearly, because sizes are odd."""

    def __init__(self, inputs: Sequence[int], width: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(c, width, 1) for c in inputs)
        self.output = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in inputs)
        self.down = nn.ModuleList(nn.Conv2d(width, width, 3, 2, padding=1) for _ in range(2))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Finest first, in and out."""
        x = self.lateral[-1](maps[-1])
        sums = [x]
        for finer, lateral in zip(maps[-2::-1], list(self.lateral)[-2::-1], strict=True):
            x = F.interpolate(x, finer.shape[-2:], mode="bilinear") + lateral(finer)
            sums.insert(0, x)
        levels = [F.relu(conv(x)) for conv, x in zip(self.output, sums, strict=True)]
        for conv in self.down:
            levels.append(conv(levels[-1]))
        return levels


def prototype_net(width: int, prototypes: int) -> nn.Sequential:
    """P3 (B, width, h/2, w/2) -> (B, k, h, w) >= 0."""

    def conv(kernel: int = 3, outputs: int = width) -> nn.Conv2d:
        return nn.Conv2d(width, outputs, kernel, padding=kernel // 2)

    return nn.Sequential(
        conv(), nn.ReLU(), conv(), nn.ReLU(), conv(), nn.ReLU(),
        nn.Upsample(scale_factor=2, mode="bilinear"), nn.Identity(),
        conv(), nn.ReLU(), conv(1, prototypes), nn.ReLU(),
    )  # fmt: skip


class Head(nn.Module):
    """Shared by all levels: one convolution, then boxes, classes and coefficients side by side."""

    def __init__(self, width: int, classes: int, *, prototypes: int, per_cell: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.boxes = nn.Conv2d(width, per_cell * 4, 3, padding=1)
        self.classes = nn.Conv2d(width, per_cell * (classes + 1), 3, padding=1)
        self.coefficients = nn.Conv2d(width, per_cell * prototypes, 3, padding=1)
        self.per_cell = per_cell

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Maps (B, width, y, x) -> (B, P, 4), (B, P, C + 1), (B, P, k)."""
        levels = [F.relu(self.first(x)) for x in maps]
        boxes = torch.cat([self._flat(self.boxes(x)) for x in levels], 1)
        classes = torch.cat([self._flat(self.classes(x)) for x in levels], 1)
        coefficients = torch.cat([self._flat(self.coefficients(x)) for x in levels], 1)
        return boxes.float(), classes.float(), coefficients.float().tanh()

    def _flat(self, x: Tensor) -> Tensor:
        """(B, A * m, y, x) -> (B, y * x * A, m)."""
        b, channels, _, _ = x.shape
        return x.permute(0, 2, 3, 1).reshape(b, -1, channels // self.per_cell)


class Rescore(nn.Sequential):
    """YOLACT++: how well a soft mask fits its object, per class (the authors' maskiou_net)."""

    def __init__(self, classes: int, widths: Sequence[int] = (8, 16, 32, 64, 128)) -> None:
        layers: list[nn.Module] = []
        for inputs, outputs in zip((1, *widths[:-1]), widths, strict=True):
            layers += [nn.Conv2d(inputs, outputs, 3, stride=2), nn.ReLU()]
        super().__init__(*layers, nn.Conv2d(widths[-1], classes, 1), nn.ReLU())
        self.least = 2 ** (len(widths) + 1) - 1  # cells, of which one is left at the end

    def forward(self, masks: Tensor) -> Tensor:
        """Soft masks (n, h, w) -> IoU (n, C) >= 0; grids too small for the network are padded."""
        below, right = (max(0, self.least - length) for length in masks.shape[-2:])
        x = F.pad(masks, (0, right, 0, below))[:, None]
        return super().forward(x).float().amax((2, 3))


# Priors.


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


def shapes_of(canvas: Size) -> list[Size]:
    """Rows and columns of P3..P7: every level halves the one before, rounded up."""
    height, width = canvas
    return [(-(-height // stride), -(-width // stride)) for stride in STRIDES]


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
