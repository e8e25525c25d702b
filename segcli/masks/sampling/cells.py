"""Find the cells of mask fields that an outline crosses; all others are inside or outside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from segcli.masks.sampling.grid import Rule

_FAR_OUTSIDE = torch.finfo(torch.float32).min


@dataclass(frozen=True, slots=True)
class Cells:
    """K cells between four knots of n fields, ordered by field, then column, then row.

    A field has `columns` columns of cells (from knot -1) and `rows` rows (from knot -2: the first
    and the last row are not the field's, they only begin and end the image).
    `column` (K,) i64: field * columns + column; `row` (K,) i64.
    `corners` (4, K) float64: the values of the upper left, upper right, lower left and lower right
    knots minus the threshold.
    """

    column: Tensor
    row: Tensor
    corners: Tensor
    columns: int
    rows: int


def outline(fields: Tensor, rule: Rule) -> Cells:
    """The mixed cells of `fields` f32 (n, h, w)."""
    _, h, w = fields.shape
    columns, rows = w + 1, h + 3
    field, row, column = _mixed(_inside(fields, rule))
    by_column = sort((field * columns + column) * rows + row)
    column = by_column // rows
    row = by_column - column * rows
    field = column // columns
    left, top = column - field * columns - 1, row - 2  # knots
    lines = torch.stack((top, top, top + 1, top + 1))
    corners = _excess(fields, rule, field, lines, torch.stack((left, left + 1, left, left + 1)))
    return Cells(column, row, corners, columns, rows)


def _mixed(inside: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(field, row, column), each (K,) i64, of the cells whose knots (n, h, w) differ.

    The first and the last row of knots are outside, so rows of two fields never make a cell.
    """
    _, h, w = inside.shape
    knots = inside.view(-1, w)
    alive = any_of(knots)
    lines = where(alive[:-1] | alive[1:])  # a small mask leaves most rows of a large field alone
    upper, lower = pick(knots, lines).view(-1), pick(knots, lines + 1).view(-1)
    differ = upper ^ lower
    mixed = differ[:-1] | differ[1:]
    mixed |= upper[:-1] ^ upper[1:]
    found = where(mixed)
    line = found // w
    column = found - line * w
    real = where(column < w - 1)  # the others join the end of a row to the start of the next
    column, above = pick(column, real), pick(lines, pick(line, real))
    field = above // h
    return field, above - field * h, column


def _inside(fields: Tensor, rule: Rule) -> Tensor:
    """Which knots belong to the mask: bool (n, h + 4, w + 2), with what lies around the grid.

    The outermost rows are never inside: there every column of the image begins and ends.
    """
    n, h, w = fields.shape
    around = rule.outside_holds
    inside = torch.full((n, h + 4, w + 2), around, dtype=torch.bool, device=fields.device)
    grid = inside[:, 2:-2, 1:-1]
    if on_host(fields):  # eight times as fast as torch's
        compare = np.greater if rule.strict else np.greater_equal
        compare(fields.numpy(), np.float32(rule.threshold), out=grid.numpy())
    else:
        (torch.gt if rule.strict else torch.ge)(fields, rule.threshold, out=grid)
    if rule.outside is None:
        inside[:, 2:-2, 0] = inside[:, 2:-2, 1]
        inside[:, 2:-2, -1] = inside[:, 2:-2, -2]
        inside[:, 1] = inside[:, 2]
        inside[:, -2] = inside[:, -3]
    inside[:, 0] = False
    inside[:, -1] = False
    return inside


def _excess(fields: Tensor, rule: Rule, field: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """What the values at knots (4, K) of `field` (K,) exceed the threshold by, float64 (4, K).

    Not a number counts as far outside, and infinite as very large.
    """
    _, h, w = fields.shape
    i, j = row.clamp(0, h - 1), column.clamp(0, w - 1)
    found = pick(fields.reshape(-1), ((field * h + i) * w + j).view(-1)).view(row.shape)
    values = torch.nan_to_num(found, nan=_FAR_OUTSIDE).double() - rule.threshold
    if rule.outside is not None:
        values = torch.where((row == i) & (column == j), values, rule.outside - rule.threshold)
    if rule.reaches:
        values = torch.where((row == -2) | (row == h + 1), -1.0, values)
    return values


def on_host(values: Tensor) -> bool:
    """Whether NumPy can work on `values` where they lie; some of it is faster than torch's."""
    return values.device.type == "cpu"


def where(flags: Tensor) -> Tensor:
    """Indices of the true ones of bool (n,), ascending."""
    if on_host(flags):
        return torch.from_numpy(np.flatnonzero(flags.numpy()))
    return torch.nonzero(flags).view(-1)


def any_of(flags: Tensor) -> Tensor:
    """Which rows of bool (n, m) have a true one."""
    if on_host(flags):
        return torch.from_numpy(flags.numpy().any(1))
    return flags.any(1)


def pick(values: Tensor, index: Tensor) -> Tensor:
    """values[index] along the first axis, in a sixth of the time."""
    return values.index_select(0, index)


def sort(values: Tensor) -> Tensor:
    """Ascending i64 (n,)."""
    if on_host(values):
        return torch.from_numpy(np.sort(values.numpy()))
    return torch.sort(values).values
