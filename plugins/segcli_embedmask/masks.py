"""From embeddings to mask fields: log-probabilities at stride 4, only around the boxes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from segcli.types import Size

CELL = 4  # canvas px
RIM = 2  # cells around a box that may still belong to its mask
OUTSIDE = -10.0  # the log-probability of everything farther away


@dataclass(frozen=True, slots=True)
class Windows:
    """Where the fields lie on the grid of `grid` = (H/4, W/4) cells: the first cell (n, 2) of
    each, x before y (-1 is one beyond the grid), and the `shape` (rows, columns) of all."""

    first: Tensor
    shape: Size
    grid: Size


def upsampled(pixels: Tensor) -> Tensor:
    """Pixel embeddings (B, D, h, w) at stride 8 -> (B, D, 2h, 2w) at stride 4."""
    return F.interpolate(pixels, scale_factor=2, mode="bilinear", align_corners=False)


def log_probability(grid: Tensor, embedding: Tensor, margin: Tensor) -> Tensor:
    """Eq. 5, its logarithm: grid (D, ...) and n proposals (n, D) -> (n, ...) <= 0."""
    shape = (*embedding.shape, *[1] * (grid.dim() - 1))
    return -((grid - embedding.view(shape)).square() * margin.view(shape)).sum(1)


def windows(
    pixels: Tensor, embedding: Tensor, margin: Tensor, boxes: Tensor
) -> tuple[Tensor, Windows]:
    """Fields (n, rows, columns) of one image's proposals (n, D), with pixels (D, h, w).

    Distances are computed for the cells of a proposal's own box and its rim alone; all windows
    have the size of the largest, filled up with OUTSIDE. A window at the edge of the grid reaches
    one cell beyond it, where the edge is repeated: there is no outside there.
    """
    grid = upsampled(pixels[None])[0]
    h, w = grid.shape[-2:]
    limit = torch.tensor([w, h], device=boxes.device)
    cells = (boxes / CELL).long()
    low = (cells[:, :2] - RIM).clamp(min=0)
    high = torch.minimum(cells[:, 2:] + RIM, limit)
    first = torch.where(low == 0, -1, low)
    last = torch.where(high == limit, limit + 1, high)
    columns, rows = (last - first).amax(0).tolist() if len(boxes) else (1, 1)
    x = first[:, :1] + torch.arange(columns, device=boxes.device)  # (n, columns)
    y = first[:, 1:] + torch.arange(rows, device=boxes.device)
    near = (y < last[:, 1:])[:, :, None] & (x < last[:, :1])[:, None]
    n, i, j = near.nonzero(as_tuple=True)  # K cells
    row, column = y[n, i].clamp(0, h - 1), x[n, j].clamp(0, w - 1)
    fields = grid.new_full(near.shape, OUTSIDE)
    distance = (grid[:, row, column].T - embedding[n]).square() * margin[n]  # (K, D)
    fields[n, i, j] = -distance.sum(1)
    return fields, Windows(first, (rows, columns), (h, w))


def extents_of(where: Windows, content: Size, image: Size) -> Tensor:
    """The xyxy canvas px (n, 4) that the windows span.

    The authors stretch the whole grid to a whole number of original px, rounded up, so a cell is
    a little larger than CELL where that number is not exact.
    """
    sides = []
    for cells, inner, outer in zip(where.grid, content, image, strict=True):
        stretched = -(-cells * CELL * outer // inner)  # original px
        sides.append(stretched * inner / outer / cells)  # canvas px a cell
    rows, columns = where.shape
    low = where.first.double()
    high = low + torch.tensor([columns, rows], device=low.device)
    cell = torch.tensor(sides[::-1], device=low.device, dtype=torch.float64)
    return torch.cat((low * cell, high * cell), 1).float()
