"""Object excavating: find the centres of other objects around an object, and classify them.

Letters: n originals, m key pixels, D channels of a descriptor, k the window's side, in pixels of
the level on which the original was found.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segcli.types import Size
from segcli_pep.perceive import STRIDES, Descriptors, even, inside


@dataclass(frozen=True, slots=True)
class Keys:
    """m key pixels: `owner` (m,) the original whose window they are in, `row`, `column` (m,) on its
    level, and `scores` (m,), how surely they are a centre."""

    owner: Tensor
    row: Tensor
    column: Tensor
    scores: Tensor


class Excavate(nn.Module):
    """The small network that an original descriptor is fed to, and the making of new ones.

    `window` is odd. `hidden`: the channels in a window [D]. `sees`: whether a mined descriptor also
    gets the descriptor that the pyramid has at its key pixel; the paper's copies know no more than
    the original and where they are.
    """

    def __init__(
        self, width: int, classes: int, *, hidden: int, window: int = 15, sees: bool = False
    ) -> None:
        super().__init__()
        self.window = window
        self.surroundings = nn.Conv2d(width, hidden, 1)
        self.query = nn.Linear(width, hidden)
        self.centre = nn.Sequential(
            nn.Conv2d(hidden + 2, hidden, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, hidden, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, 1, 3, padding=1),
        )
        self.sees = sees
        # The 1x1 convolutions of single pixels are linear layers.
        self.mine = nn.Sequential(
            nn.Linear(width * (1 + sees) + 4, width), nn.ReLU(inplace=True), nn.Linear(width, width)
        )
        self.classify = nn.Linear(width, classes + 1)
        last = self.centre[-1]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        nn.init.normal_(last.weight, std=0.01)
        nn.init.constant_(last.bias, -math.log(99.0))

    def centres(self, maps: Sequence[Tensor], found: Descriptors) -> Tensor:
        """Descriptor maps (1, D, h, w) of one image -> logits E (n, k, k) around the originals."""
        seen = [self.surroundings(even(x.movedim(1, 3)).movedim(3, 1)) for x in maps]
        windows = cut_out(seen, found, self.window)
        query = self.query(even(found.vectors))[:, :, None, None]
        logits: Tensor = self.centre(torch.cat((windows * query, self._relative(windows)), 1))
        return logits[:, 0]

    def _relative(self, windows: Tensor) -> Tensor:
        """The place of each pixel in its window: y and x from -1 to 1, (n, 2, k, k)."""
        line = torch.linspace(-1, 1, self.window, device=windows.device, dtype=windows.dtype)
        y, x = torch.meshgrid(line, line, indexing="ij")
        return torch.stack((y, x)).expand(len(windows), 2, -1, -1)

    def mined(
        self, maps: Sequence[Tensor], found: Descriptors, keys: Keys
    ) -> tuple[Tensor, Tensor]:
        """Vectors (m, D) of the copies, and their class logits (m, C + 1), 0 the background.

        A copy of its original is joined with where the key pixel is, relative to the original and
        in the image (CoordConv), and goes through two 1x1 convolutions.
        """
        level = found.level[keys.owner]
        sizes = torch.tensor([x.shape[-2:] for x in maps], device=level.device)[level]  # (m, 2)
        there = torch.stack((keys.row, keys.column), 1)
        origin = torch.stack((found.row, found.column), 1)[keys.owner]
        absolute = (there + 0.5) / sizes * 2 - 1
        relative = (there - origin) / (self.window // 2)
        copies = even(found.vectors)[keys.owner]
        parts = [copies, absolute.to(copies.dtype), relative.to(copies.dtype)]
        if self.sees:
            parts.append(even(_read(maps, level, keys.row, keys.column)))
        vectors: Tensor = self.mine(torch.cat(parts, 1))
        return vectors, self.classify(even(vectors))

    def key_pixels(
        self, logits: Tensor, found: Descriptors, content: Size, *, above: float, most: int
    ) -> Keys:
        """Where E (n, k, k) is likelier than `above` and than the 3x3 around; at most `most` of a
        window, and none beyond the content (h, w) px."""
        half, n = self.window // 2, len(logits)
        probability = logits.sigmoid()
        peak = probability == F.max_pool2d(probability[:, None], 3, stride=1, padding=1)[:, 0]
        peak[:, half, half] = False  # the original itself
        score, place = (probability * peak).flatten(1).topk(min(most, self.window**2), dim=1)
        owner = torch.arange(n, device=place.device)[:, None].expand_as(place)[score > above]
        place, score = place[score > above], score[score > above]
        row = found.row[owner] + place // self.window - half
        column = found.column[owner] + place % self.window - half
        valid = (row >= 0) & (column >= 0) & inside(found.level[owner], row, column, content)
        return Keys(owner[valid], row[valid], column[valid], score[valid])


def cut_out(maps: Sequence[Tensor], found: Descriptors, side: int) -> Tensor:
    """Maps (1, E, h, w) -> windows (n, E, side, side) around the originals, each of its own level;
    zero beyond the map."""
    half = side // 2
    step = torch.arange(side, device=found.row.device)
    windows = maps[0].new_zeros(len(found), maps[0].shape[1], side, side)
    for level, x in enumerate(maps):
        here = (found.level == level).nonzero()[:, 0]
        if not len(here):
            continue
        padded = F.pad(x[0], (half,) * 4)
        row = (found.row[here, None] + step)[:, :, None]
        column = (found.column[here, None] + step)[:, None]
        windows = windows.index_copy(0, here, padded[:, row, column].transpose(0, 1))
    return windows


def _read(maps: Sequence[Tensor], level: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Vectors (m, D) of the maps (1, D, h, w) at pixels of them."""
    offset = torch.tensor([0, *(x.shape[-2] * x.shape[-1] for x in maps)], device=level.device)
    height, width = torch.tensor([x.shape[-2:] for x in maps], device=level.device)[level].T
    row, column = torch.minimum(row, height - 1), torch.minimum(column, width - 1)
    flat = torch.cat([x[0].flatten(1) for x in maps], 1)
    return flat[:, offset.cumsum(0)[level] + row * width + column].T


def centre_of(xy: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column, on each `level` (n,), of points `xy` (n, 2) px."""
    stride = torch.tensor(STRIDES, device=level.device)[level]
    cell = torch.div(xy, stride[:, None], rounding_mode="floor").long()
    return cell[:, 1], cell[:, 0]
