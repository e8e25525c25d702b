"""Parts of maps, one around each object, as fields that the core can sample."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from segcli.types import Size


@dataclass(frozen=True, slots=True)
class Windows:
    """n windows of one `shape` (rows, columns) on a map; `first` i64 (n, 2): their first row and
    column. They lie inside the map, so that beyond them its edge may be repeated."""

    first: Tensor
    shape: Size

    @staticmethod
    def around(boxes: Tensor, size: Size) -> Windows:
        """Boxes i64 (n, 4) xyxy in cells, the last excluded, with a rim of a cell where the map of
        `size` has one; all windows have the size of the largest."""
        if not len(boxes):
            return Windows(boxes.new_zeros((0, 2)), (1, 1))
        low, high = boxes[:, [1, 0]] - 1, boxes[:, [3, 2]] + 1
        limit = boxes.new_tensor(size)
        low, high = low.clamp(min=0), torch.minimum(high, limit)
        sides = (high - low).amax(0)
        first = torch.minimum(low, limit - sides)
        return Windows(first, (int(sides[0]), int(sides[1])))

    def of(self, maps: Tensor) -> Tensor:
        """The windows (n, rows, columns) of a map of each object (n, h, w), or of one for all."""
        rows = self.first[:, :1] + torch.arange(self.shape[0], device=maps.device)
        columns = self.first[:, 1:] + torch.arange(self.shape[1], device=maps.device)
        which = torch.arange(len(rows), device=maps.device)[:, None, None]
        maps = maps.expand(len(rows), *maps.shape[-2:])
        return maps[which, rows[:, :, None], columns[:, None]]

    def extents(self, cell: int) -> Tensor:
        """xyxy f32 (n, 4) in canvas px, for cells of `cell` px."""
        low = self.first[:, [1, 0]]
        high = low + low.new_tensor([self.shape[1], self.shape[0]])
        return cell * torch.cat((low, high), 1).float()


def boxes_of(masks: Tensor) -> Tensor:
    """The tight boxes i64 (n, 4) xyxy, the last excluded, of bool (n, h, w); none is empty."""
    sides = []
    for flags in (masks.any(1), masks.any(2)):
        place = torch.arange(flags.shape[1], device=flags.device)
        low = torch.where(flags, place, flags.shape[1]).amin(1)
        high = torch.where(flags, place, -1).amax(1) + 1
        sides.append((low, high))
    (left, right), (top, bottom) = sides
    return torch.stack((left, top, right, bottom), 1)
