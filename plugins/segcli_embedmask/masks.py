"""From embeddings to mask fields: log-probabilities at stride 4, only around the boxes."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from segcli.types import Size
from segcli_blocks.windows import Windows

CELL = 4  # canvas px
RIM = 2  # cells around a box that may still belong to its mask
OUTSIDE = -10.0  # the log-probability of everything farther away


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

    Distances are computed for the cells of a proposal's own box and its rim alone; windows smaller
    than the largest are filled up with OUTSIDE.
    """
    grid = upsampled(pixels[None])[0]
    where = Windows.around((boxes / CELL).long(), grid.shape[-2:], rim=RIM)
    n, i, j = where.within().nonzero(as_tuple=True)  # K cells
    y, x = where.cells()
    fields = grid.new_full((len(boxes), *where.shape), OUTSIDE)
    distance = (grid[:, y[n, i], x[n, j]].T - embedding[n]).square() * margin[n]  # (K, D)
    fields[n, i, j] = -distance.sum(1)
    return fields, where


def extents_of(where: Windows, content: Size, image: Size) -> Tensor:
    """The xyxy canvas px (n, 4) that the windows span.

    The authors stretch the whole grid to a whole number of original px, rounded up, so a cell is
    a little larger than CELL where that number is not exact.
    """
    cell = []
    for cells, inner, outer in zip(where.grid, content, image, strict=True):
        stretched = -(-cells * CELL * outer // inner)  # original px
        cell.append(stretched * inner / outer / cells)  # canvas px a cell
    return where.extents((cell[0], cell[1]))
