"""From prototypes to masks: mixtures, cropped to boxes, made only where the boxes are.

Boxes here are xyxy relative to the canvas; a grid of prototypes spans the canvas.
"""

from __future__ import annotations

import torch
from torch import Tensor

from segcli.types import Size
from segcli_blocks.windows import Windows

RIM = 1.0  # cells: a mask may be this much larger than its box


def limits(boxes: Tensor, grid: Size) -> Tensor:
    """Boxes (n, 4) -> xyxy (n, 4) in cells: a cell i belongs to the crop when low <= i < high."""
    size = boxes.new_tensor([grid[1], grid[0]])
    low = torch.minimum(boxes[:, :2], boxes[:, 2:]) * size - RIM
    high = torch.maximum(boxes[:, :2], boxes[:, 2:]) * size + RIM
    return torch.cat((low.clamp(min=0), torch.minimum(high, size)), 1)


def crop(x: Tensor, y: Tensor, bounds: Tensor) -> Tensor:
    """bool (n, rows, columns): which of the cells x (n or 1, columns), y (n or 1, rows) are in
    `bounds` (n, 4)."""
    across = (x >= bounds[:, :1]) & (x < bounds[:, 2:3])
    along = (y >= bounds[:, 1:2]) & (y < bounds[:, 3:])
    return along[:, :, None] & across[:, None]


def cropped(logits: Tensor, boxes: Tensor) -> Tensor:
    """Soft masks (n, h, w) that are zero outside their boxes (n, 4)."""
    h, w = logits.shape[-2:]
    y, x = (torch.arange(length, device=boxes.device)[None] for length in (h, w))
    return logits.sigmoid() * crop(x, y, limits(boxes, (h, w)))


def windows(logits: Tensor, boxes: Tensor, canvas: Size) -> tuple[Tensor, Tensor]:
    """The same as `cropped`, only around the boxes: fields f32 (n, rows, columns) and their extents
    xyxy (n, 4) on the canvas of (height, width) px. Beyond a field the mask is zero.

    A window at the edge of the grid reaches a cell beyond it, as interpolation over the whole grid
    does.
    """
    h, w = logits.shape[-2:]
    bounds = limits(boxes, (h, w))
    where = Windows.around(bounds.ceil().long(), (h, w), rim=0)
    y, x = where.cells()
    fields = where.of(logits).float().sigmoid() * crop(x, y, bounds)
    return fields, where.extents((canvas[0] / h, canvas[1] / w))
