"""The head's mask outputs, of SOLO's three kinds, and the mask fields made of them.

A soft mask is a probability per cell of stride 4 (in training: of the level's own stride). The
masks of a level are asked for by grid cell: row * S + column.

Letters: B images, n masks, S the grid of a level, D dimensions; h, w at stride 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from segcli.types import Size
from segcli_blocks.boxes import tight_boxes
from segcli_blocks.soft_masks import dynamic_conv
from segcli_blocks.windows import Windows

CELL = 4  # canvas px


class Masks(Protocol):
    """One of the three ways."""

    @property
    def strides(self) -> tuple[int, ...]:
        """Canvas px of a cell in training, per level."""
        ...

    @property
    def tensors(self) -> list[Tensor]:
        """All maps in one list."""
        ...

    def learnt(self, b: int, level: int, cell: Tensor) -> Tensor:
        """Soft masks (n, y, x) of `cell` (n,) of image b, at the level's stride."""
        ...

    def soft(self, b: int, level: int, cell: Tensor) -> Tensor:
        """The same (n, h, w), at stride 4."""
        ...

    def nothing(self) -> Tensor:
        """A zero that gives every prediction a gradient, of zero."""
        ...


@dataclass(frozen=True, slots=True)
class Dynamic:
    """SOLOv2: a cell's `kernels` (B, D, S, S) convolve the image's `features` (B, D, h, w)."""

    kernels: list[Tensor]
    features: Tensor

    @property
    def strides(self) -> tuple[int, ...]:
        return (CELL,) * len(self.kernels)

    @property
    def tensors(self) -> list[Tensor]:
        return [*self.kernels, self.features]

    def learnt(self, b: int, level: int, cell: Tensor) -> Tensor:
        kernels = self.kernels[level][b].flatten(1)[:, cell].T
        return dynamic_conv(kernels, self.features[b]).sigmoid()

    def soft(self, b: int, level: int, cell: Tensor) -> Tensor:
        return self.learnt(b, level, cell)

    def nothing(self) -> Tensor:
        return 0 * (sum(k.sum() for k in self.kernels) + self.features.sum())


@dataclass(frozen=True, slots=True)
class Direct:
    """SOLO: a map of `logits` (B, S * S, y, x) for each cell; `strides` px, per level."""

    logits: list[Tensor]
    strides: tuple[int, ...]

    @property
    def tensors(self) -> list[Tensor]:
        return self.logits

    def learnt(self, b: int, level: int, cell: Tensor) -> Tensor:
        return self.logits[level][b, cell].sigmoid()

    def soft(self, b: int, level: int, cell: Tensor) -> Tensor:
        return _resized(self.learnt(b, level, cell), _size(self.logits[0]))

    def nothing(self) -> Tensor:
        return 0 * torch.stack([level.sum() for level in self.logits]).sum()


@dataclass(frozen=True, slots=True)
class Decoupled:
    """Decoupled SOLO: maps for each column, `x` (B, S, y, x), and for each row, `y`; a cell's mask
    is the product of its column's and its row's; `strides` px, per level."""

    x: list[Tensor]
    y: list[Tensor]
    strides: tuple[int, ...]

    @property
    def tensors(self) -> list[Tensor]:
        return [*self.x, *self.y]

    def learnt(self, b: int, level: int, cell: Tensor) -> Tensor:
        x, y = self._both(b, level, cell)
        return x * y

    def soft(self, b: int, level: int, cell: Tensor) -> Tensor:
        x, y = (_resized(m, _size(self.x[0])) for m in self._both(b, level, cell))
        return x * y

    def _both(self, b: int, level: int, cell: Tensor) -> tuple[Tensor, Tensor]:
        grid = self.x[level].shape[1]
        x, y = self.x[level][b], self.y[level][b]
        return x[cell % grid].sigmoid(), y[cell // grid].sigmoid()

    def nothing(self) -> Tensor:
        return 0 * torch.stack([level.sum() for level in (*self.x, *self.y)]).sum()


def _size(maps: Tensor) -> Size:
    return maps.shape[-2], maps.shape[-1]


def _resized(masks: Tensor, size: Size) -> Tensor:
    if not len(masks):
        return masks.new_zeros((0, *size))
    return F.interpolate(masks[None], size, mode="bilinear")[0]


def windows(soft: Tensor, content: Size) -> tuple[Tensor, Tensor]:
    """Soft masks (n, h, w) at stride 4 -> fields (n, rows, columns) of single canvas px where the
    masks are, and their extents xyxy (n, 4) in canvas px. Beyond a field no pixel is in the mask.

    As the authors do it: bilinear to the canvas, then the edges of the content repeated beyond it,
    which is what the core's resampling to the original continues from. A pixel can only exceed
    1/2 in or next to a cell that does, so only those, and a rim for the interpolation, are made;
    windows smaller than the largest are filled up with zeros.
    """
    where = Windows.around(tight_boxes(soft > 0.5), soft.shape[1:])
    rows, columns = where.shape
    fields = soft.new_zeros((len(soft), CELL * rows, CELL * columns))
    for index in where.by_size():
        drawn = _drawn(soft[index], where.at(index), content)
        fields[index, : drawn.shape[1], : drawn.shape[2]] = drawn
    return fields, where.extents(CELL)


def _drawn(soft: Tensor, where: Windows, content: Size) -> Tensor:
    """Canvas px of the windows of soft masks (k, h, w)."""
    cells = where.grown(1).of(soft)
    drawn = F.interpolate(cells[:, None], scale_factor=CELL, mode="bilinear")[:, 0]
    drawn = drawn[:, CELL:-CELL, CELL:-CELL]
    x, y = (CELL * where.first).unbind(1)
    return _repeated(_repeated(drawn, y, 1, content[0]), x, 2, content[1])


def _repeated(fields: Tensor, start: Tensor, dim: int, length: int) -> Tensor:
    """Fields whose first line along `dim` is px `start` (n,), with px `length - 1` repeated
    beyond it."""
    count = fields.shape[dim]
    if int(start.amax()) + count <= length:
        return fields
    place = start[:, None] + torch.arange(count, device=fields.device)
    index = (place.clamp(max=length - 1) - start[:, None]).clamp(min=0)
    index = index[:, :, None] if dim == 1 else index[:, None]
    return fields.gather(dim, index.expand_as(fields))
