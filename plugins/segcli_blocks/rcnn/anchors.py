"""Anchor boxes (Ren et al. 2015, section 3.1.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from segcli.types import Size
from segcli_blocks.rcnn.conventions import Conventions

RATIOS = (0.5, 1.0, 2.0)  # height / width


def anchors_of(shapes: Sequence[Size], canvas: Size, conventions: Conventions) -> list[Tensor]:
    """Anchors (h * w * n, 4) xyxy px of every level, in order row, column, size, aspect ratio.

    `shapes`: (h, w) of the levels' maps. Each has one size, so that n is 3; a single map has all.
    """
    all_sizes = conventions.anchor_sizes
    sizes_of = [(size,) for size in all_sizes] if len(shapes) > 1 else [all_sizes]
    levels = []
    for (h, w), sizes in zip(shapes, sizes_of, strict=True):
        stride_y, stride_x = canvas[0] // h, canvas[1] // w
        if conventions.inclusive or not conventions.round_anchors:
            # The true stride also where the canvas is not a multiple of it.
            stride_y = stride_x = 2 ** round(math.log2(canvas[0] / h))
        cell = torch.cat([_cell_by(conventions, size, stride_y) for size in sizes])
        y = torch.arange(h, dtype=torch.float32) * stride_y
        x = torch.arange(w, dtype=torch.float32) * stride_x
        grid = torch.stack(
            (x.repeat(h), y.repeat_interleave(w), x.repeat(h), y.repeat_interleave(w)), dim=1
        )
        levels.append((grid[:, None] + cell[None]).reshape(-1, 4))
    return levels


def _cell_by(conventions: Conventions, size: int, stride: int) -> Tensor:
    """The (3, 4) anchors of one size at the first place of a map."""
    if conventions.mmdet1:
        return _whole_cell(size, stride)
    if conventions.inclusive:
        return _inclusive_cell(size, stride)
    return _cell(size).round() if conventions.round_anchors else _cell(size)


def _cell(size: int) -> Tensor:
    """(3, 4) around the origin, each of area size * size."""
    ratio = torch.tensor(RATIOS).sqrt()
    half_w, half_h = size / ratio / 2, size * ratio / 2
    return torch.stack((-half_w, -half_h, half_w, half_h), dim=1)


def _inclusive_cell(size: int, stride: int) -> Tensor:
    """Detectron's (3, 4): whole sides for one stride, enlarged, around the centre of the first
    stride x stride px."""
    ratio = torch.tensor(RATIOS)
    w = (stride**2 / ratio).sqrt().round()
    h = (w * ratio).round()
    half_w, half_h = (w * (size / stride) - 1) / 2, (h * (size / stride) - 1) / 2
    centre = (stride - 1) / 2
    return torch.stack((centre - half_w, centre - half_h, centre + half_w, centre + half_h), dim=1)


def _whole_cell(size: int, stride: int) -> Tensor:
    """mmdetection 1's (3, 4): corners in whole px around the centre of the first stride x stride
    px, the last px included."""
    centre = (stride - 1) / 2
    return (_cell(size) + torch.tensor([centre + 0.5] * 2 + [centre - 0.5] * 2)).round()
