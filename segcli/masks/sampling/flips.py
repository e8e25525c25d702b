"""Find where the pixels of a mask change between outside and inside, without creating the pixels.

Between the four knots of a cell the value is bilinear. So a column of pixels that crosses a cell
meets the threshold there at most once, at a position that can be computed: the cost grows with the
length of the outline, not with the area of the mask or of the image. The arithmetic is float64,
a * (1 - t) + b * t, first along the row, then along the column, of values minus the threshold. Its
sign is exact where both ends agree, and it is monotone otherwise, also in floating point.
Therefore, the result equals a dense resampling with the same arithmetic bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from segcli.masks.sampling.cells import Cells, outline, pick, where
from segcli.masks.sampling.grid import Axis, Rule, Size, axis

_CLOSE = 1e-6
"""Crossings this close to a pixel's centre (px) are evaluated instead of computed by formula."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many cells of fields and crossings are processed at once; limits the memory."""

    cells: int = 1 << 21
    crossings: int = 1 << 16


def limits_of(device: torch.device) -> Limits:
    """Limits that fit into the cache of a CPU, or that fill a GPU."""
    return Limits() if device.type == "cpu" else Limits(1 << 26, 1 << 22)


def flips(fields: Tensor, extents: Tensor, size: Size, rule: Rule, limits: Limits) -> Tensor:
    """The flips of masks of `fields` f32 (n, h, w) in an image of `size` px, ascending i64 (m,).

    `extents` float64 (n, 4) xyxy, original px, with positive sides. Mask k has the numbers from
    k * (H * W + 1) on; pixel (y, x) is x * H + y. A flip at p: pixel p differs from pixel p - 1,
    and both the one before the first pixel and the one after the last are outside.
    """
    n, h, w = fields.shape
    step = max(1, limits.cells // (h * w))
    found = []
    for start in range(0, n, step):
        part = slice(start, start + step)
        positions = _flips(fields[part], extents[part], size, rule, limits.crossings)
        found.append(positions + start * (size[0] * size[1] + 1))
    if not found:
        return torch.zeros(0, dtype=torch.int64, device=fields.device)
    return cancel(torch.cat(found) if len(found) > 1 else found[0])


def cancel(positions: Tensor) -> Tensor:
    """Drop the pairs of ascending `positions` (m,) that are equal: two flips make none."""
    if len(positions) < 2:
        return positions
    fresh = torch.ones(len(positions) + 1, dtype=torch.bool, device=positions.device)
    torch.ne(positions[1:], positions[:-1], out=fresh[1:-1])
    starts = where(fresh)
    if len(starts) == len(positions) + 1:
        return positions
    odd = (starts[1:] - starts[:-1]) & 1 == 1
    return pick(positions, pick(starts, where(odd)))


def _flips(fields: Tensor, extents: Tensor, size: Size, rule: Rule, most: int) -> Tensor:
    """Flips of some masks, ascending, equal ones not yet cancelled."""
    _, h, w = fields.shape
    cells = outline(fields, rule)
    across = axis(extents[:, 0], extents[:, 2], cells=w, pixels=size[1])
    down = axis(extents[:, 1], extents[:, 3], cells=h, pixels=size[0])
    columns = _columns(cells, across, size, rule)
    total = int(columns.ends[-1]) if len(columns.ends) else 0
    if total == 0:
        return torch.zeros(0, dtype=torch.int64, device=fields.device)
    heights = _heights(cells, down, size[0])
    # Cut between columns, so that no part has many more crossings than `most`.
    goals = torch.tensor(range(most, total, most), dtype=torch.int64, device=fields.device)
    cuts = [0, *torch.searchsorted(columns.ends, goals).tolist(), len(columns.ends)]
    found = []
    for a, b in zip(cuts[:-1], cuts[1:], strict=True):
        met = _meet(columns.part(a, b), cells, rule)
        found.append(met.base + _rows(met, heights, down, rule))
    return torch.cat(found) if len(found) > 1 else found[0]


@dataclass(frozen=True, slots=True)
class _Columns:
    """C columns of pixels, each with the mixed cells that it crosses.

    `weight` (C,) float64: how far right in its cells, 0..1; `base` (C,) i64: the position of its
    first pixel; `first` (C,) i64: its first cell; `count` (C,) i64: its cells; `ends`: the running
    sum of these.
    """

    weight: Tensor
    base: Tensor
    first: Tensor
    count: Tensor
    ends: Tensor

    def part(self, a: int, b: int) -> _Columns:
        count = self.count[a:b]
        ends = torch.cumsum(count, 0)
        return _Columns(self.weight[a:b], self.base[a:b], self.first[a:b], count, ends)


def _columns(cells: Cells, across: Axis, size: Size, rule: Rule) -> _Columns:
    """The columns of pixels that cross mixed cells, by mask, then from left to right."""
    height, width = size
    first_pixel = across.first
    if rule.reaches:  # the cells beside the grid go on to the borders of the image
        first_pixel = first_pixel.clone()
        first_pixel[:, 0] = 0
        first_pixel[:, -1] = width
    pixels = (first_pixel[:, 1:] - first_pixel[:, :-1]).reshape(-1)  # of each column of cells
    ids = torch.arange(len(pixels) + 1, device=pixels.device)
    starts = torch.searchsorted(cells.column, ids)
    counts = starts[1:] - starts[:-1]
    used = where((counts > 0) & (pixels > 0))
    pixels = pick(pixels, used)
    owner = torch.repeat_interleave(used, pixels)
    mask = owner // cells.columns
    knot = owner - mask * cells.columns - 1
    begins = pick(first_pixel[:, :-1].reshape(-1), used) - torch.cumsum(pixels, 0) + pixels
    x = torch.arange(len(owner), device=owner.device) + torch.repeat_interleave(begins, pixels)
    place = pick(across.place.view(-1), mask * width + x)
    base = mask * (height * width + 1) + x * height
    count = pick(counts, owner)
    weight = (place - knot).clamp(0, 1)
    return _Columns(weight, base, pick(starts, owner), count, torch.cumsum(count, 0))


@dataclass(frozen=True, slots=True)
class _Heights:
    """The rows of pixels in each of K cells: i64 `first` to `last`, without it; `mask` (K,).

    `knot` (K,) float64 is the upper one, `at` its place in px, `pitch` the height of the cell;
    `close` (K,): within what distance of a pixel's centre the formula does not decide, px.
    """

    first: Tensor
    last: Tensor
    mask: Tensor
    knot: Tensor
    at: Tensor
    pitch: Tensor
    close: Tensor


def _heights(cells: Cells, down: Axis, height: int) -> _Heights:
    mask = cells.column // cells.columns
    top = torch.zeros_like(down.first[:, :1])
    bottom = torch.full_like(top, height)
    # The first row of cells lies above the image and the last one below it: no pixels.
    first = torch.cat((top, down.first[:, :-1], bottom), 1).view(-1)
    last = torch.cat((top, down.first[:, 1:], bottom), 1).view(-1)
    index = mask * cells.rows + cells.row
    knot = (cells.row - 2).double()
    pitch = pick(down.pitch, mask)
    at = (knot + 0.5) * pitch + (pick(down.low, mask) - 0.5)
    close = pick(down.reach, mask) * 1e-13 + _CLOSE
    return _Heights(pick(first, index), pick(last, index), mask, knot, at, pitch, close)


@dataclass(frozen=True, slots=True)
class _Met:
    """M crossings: in the column that begins at `base`, in `cell`, between values of which the
    `upper` or the `lower` one (float64, less the threshold) belongs to the mask."""

    base: Tensor
    cell: Tensor
    upper: Tensor
    lower: Tensor


def _meet(columns: _Columns, cells: Cells, rule: Rule) -> _Met:
    """The cells that the columns enter and leave in different states."""
    column = torch.repeat_interleave(columns.count)
    shift = columns.first - columns.ends + columns.count
    cell = torch.arange(len(column), device=column.device) + pick(shift, column)
    right = pick(columns.weight, column)
    left = 1 - right
    upper_left, upper_right, lower_left, lower_right = (
        pick(corner, cell) for corner in cells.corners
    )
    upper = upper_left * left + upper_right * right
    lower = lower_left * left + lower_right * right
    changes = where(rule.holds(upper) != rule.holds(lower))
    base = pick(columns.base, pick(column, changes))
    return _Met(base, pick(cell, changes), pick(upper, changes), pick(lower, changes))


def _rows(met: _Met, heights: _Heights, down: Axis, rule: Rule) -> Tensor:
    """The first row of pixels, i64 (M,), that is in the state of the crossing's lower end."""
    first, last = pick(heights.first, met.cell), pick(heights.last, met.cell)
    share = met.upper / (met.upper - met.lower)
    y = pick(heights.at, met.cell) + share * pick(heights.pitch, met.cell)
    unsure = (y - y.round()).abs() <= pick(heights.close, met.cell)
    unsure &= first < last
    rows = torch.minimum(torch.maximum(y.ceil(), first.double()), last.double()).long()
    which = where(unsure)
    if len(which):
        rows[which] = _search(met, which, heights, down, rule)
    return rows


def _search(met: _Met, which: Tensor, heights: _Heights, down: Axis, rule: Rule) -> Tensor:
    """As `_rows`, but by bisection, evaluating the pixels themselves."""
    cell, upper, lower = met.cell[which], met.upper[which], met.lower[which]
    low, high = heights.first[cell], heights.last[cell]
    height = down.place.shape[1]
    line, knot, goal = heights.mask[cell] * height, heights.knot[cell], rule.holds(lower)
    for _ in range(height.bit_length()):
        middle = (low + high) // 2
        share = down.place.view(-1)[line + middle.clamp(max=height - 1)] - knot
        value = upper * (1 - share) + lower * share
        arrived = rule.holds(value) == goal
        going = low < high
        high = torch.where(going & arrived, middle, high)
        low = torch.where(going & ~arrived, middle + 1, low)
    return low
