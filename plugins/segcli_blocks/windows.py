"""Windows: the part of a map around each object, as fields of masks.

Masks are computed and returned only where the objects are. Letters: n objects; h, w cells of a
map.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from segcli.types import Size

GROUPS = 4


@dataclass(frozen=True, slots=True)
class Windows:
    """n windows on a map of `grid` = (h, w) cells, each from its `first` cell to its `last`, i64
    (n, 2), x before y, the last excluded. Fields have the `shape` (rows, columns) of the largest.

    A window that reaches the edge of the map goes one cell beyond it, where the edge is repeated:
    interpolation over a whole image has no outside. So -1 may be the first cell.
    """

    first: Tensor
    last: Tensor
    shape: Size
    grid: Size

    @staticmethod
    def around(boxes: Tensor, grid: Sequence[int], *, rim: int = 1) -> Windows:
        """Windows of boxes i64 (n, 4) xyxy in cells, the last excluded, and `rim` cells around."""
        limit = boxes.new_tensor([grid[1], grid[0]])
        low = (boxes[:, :2] - rim).clamp(min=0)
        high = torch.minimum(boxes[:, 2:] + rim, limit)
        first = torch.where(low == 0, -1, low)
        last = torch.where(high == limit, limit + 1, high)
        return Windows(first, last, _largest(first, last), (grid[0], grid[1]))

    def at(self, index: Tensor) -> Windows:
        """The chosen windows (k,), of the shape of the largest of them."""
        first, last = self.first[index], self.last[index]
        return Windows(first, last, _largest(first, last), self.grid)

    def grown(self, cells: int) -> Windows:
        """The same windows with so many `cells` more on each side."""
        rows, columns = self.shape
        shape = (rows + 2 * cells, columns + 2 * cells)
        return Windows(self.first - cells, self.last + cells, shape, self.grid)

    def cells(self) -> tuple[Tensor, Tensor]:
        """Rows i64 (n, rows) and columns (n, columns) on the map; beyond it those of its edge."""
        x, y = self._places()
        return y.clamp(0, self.grid[0] - 1), x.clamp(0, self.grid[1] - 1)

    def within(self) -> Tensor:
        """bool (n, rows, columns): which cells of the fields belong to the object's own window."""
        x, y = self._places()
        return (y < self.last[:, 1:])[:, :, None] & (x < self.last[:, :1])[:, None]

    def of(self, maps: Tensor) -> Tensor:
        """The fields (n, rows, columns) of a map of each object (n, h, w), or of one for all."""
        y, x = self.cells()
        if maps.dim() == 2:
            return maps[y[:, :, None], x[:, None]]
        which = torch.arange(len(y), device=maps.device)[:, None, None]
        return maps[which, y[:, :, None], x[:, None]]

    def extents(self, cell: float | tuple[float, float], *, shift: float = 0.0) -> Tensor:
        """xyxy f32 (n, 4) canvas px of the fields, for cells of `cell` px, or (height, width), the
        first of which begins at px `shift`."""
        height, width = cell if isinstance(cell, tuple) else (cell, cell)
        low = self.first.double()
        high = low + low.new_tensor([self.shape[1], self.shape[0]])
        px = low.new_tensor([width, height])
        return (torch.cat((low * px, high * px), 1) + shift).float()

    def _places(self) -> tuple[Tensor, Tensor]:
        rows, columns = self.shape
        x = self.first[:, :1] + torch.arange(columns, device=self.first.device)
        y = self.first[:, 1:] + torch.arange(rows, device=self.first.device)
        return x, y

    def by_size(self) -> Iterator[Tensor]:
        """See the function."""
        columns, rows = (self.last - self.first).unbind(1)
        return by_size(rows, columns)


def _largest(first: Tensor, last: Tensor) -> Size:
    if not len(first):
        return 1, 1
    columns, rows = (last - first).amax(0).clamp(min=1).tolist()
    return rows, columns


def by_size(rows: Tensor, columns: Tensor) -> Iterator[Tensor]:
    """Indices of n windows with so many `rows` and `columns` (n,), in at most GROUPS groups.

    A window is with those that are at least half as large as the largest, a quarter, and so on,
    by the side that is larger in proportion. So what is done for each window of a group at the
    size of the group's largest is less than four times what the group needs, most often twice.
    """
    if not len(rows):
        return
    share = torch.maximum(rows / rows.amax(), columns / columns.amax())
    group = (-share.log2()).floor().clamp(0, GROUPS - 1)
    for number in range(GROUPS):
        index = (group == number).nonzero()[:, 0]
        if len(index):
            yield index
