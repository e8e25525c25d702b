"""The cells of mask fields through which an outline runs; all others are whole in or whole out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from segcli.postprocess.grid import Rule

_FAR_OUTSIDE = torch.finfo(torch.float32).min


@dataclass(frozen=True, slots=True)
class Cells:
    """K cells between four knots of n fields, ordered by field, then column, then row.

    A field has `columns` columns of cells (from knot -1) and `rows` rows (from knot -2: the first
    and the last row are not the field's, they only begin and end the image).
    `column` (K,) i64: field * columns + column; `row` (K,) i64.
    `corners`: what upper left, upper right, lower left, lower right, each (K,) float64, exceed
    the threshold by.
    """

    column: Tensor
    row: Tensor
    corners: tuple[Tensor, Tensor, Tensor, Tensor]
    columns: int
    rows: int


def outline(fields: Tensor, rule: Rule) -> Cells:
    """The mixed cells of `fields` f32 (n, h, w)."""
    _, h, w = fields.shape
    columns, rows = w + 1, h + 3
    inside = _inside(fields, rule)
    some = inside[:, :-1] | inside[:, 1:]
    every = inside[:, :-1] & inside[:, 1:]
    mixed = (some[:, :, :-1] | some[:, :, 1:]) ^ (every[:, :, :-1] & every[:, :, 1:])
    flat = where(mixed.view(-1))
    by_row = flat // columns  # field * rows + row
    field = by_row // rows
    order = (field * columns + flat - by_row * columns) * rows + by_row - field * rows
    order = sort(order)
    column = order // rows
    row = order - column * rows
    field = column // columns
    flat_fields = fields.reshape(-1)
    left = column - field * columns - 1  # knot
    top = row - 2
    corners = (
        _excess(flat_fields, rule, (field, top, left), (h, w)),
        _excess(flat_fields, rule, (field, top, left + 1), (h, w)),
        _excess(flat_fields, rule, (field, top + 1, left), (h, w)),
        _excess(flat_fields, rule, (field, top + 1, left + 1), (h, w)),
    )
    return Cells(column, row, corners, columns, rows)


def _inside(fields: Tensor, rule: Rule) -> Tensor:
    """Which knots belong to the mask: bool (n, h + 4, w + 2), with what lies around the grid.

    The outermost rows are never inside: there every column of the image begins and ends.
    """
    n, h, w = fields.shape
    around = rule.outside_holds
    inside = torch.full((n, h + 4, w + 2), around, dtype=torch.bool, device=fields.device)
    compare = torch.gt if rule.strict else torch.ge
    compare(fields, rule.threshold, out=inside[:, 2:-2, 1:-1])
    if rule.outside is None:
        inside[:, 2:-2, 0] = inside[:, 2:-2, 1]
        inside[:, 2:-2, -1] = inside[:, 2:-2, -2]
        inside[:, 1] = inside[:, 2]
        inside[:, -2] = inside[:, -3]
    inside[:, 0] = False
    inside[:, -1] = False
    return inside


def _excess(
    flat_fields: Tensor, rule: Rule, knots: tuple[Tensor, Tensor, Tensor], size: tuple[int, int]
) -> Tensor:
    """What the values at (field, row, column) knots exceed the threshold by, float64 (K,).

    Not a number counts as far outside, and infinite as very large.
    """
    field, row, column = knots
    h, w = size
    i, j = row.clamp(0, h - 1), column.clamp(0, w - 1)
    found = torch.nan_to_num(
        flat_fields[(field * h + i) * w + j], nan=torch.finfo(torch.float32).min
    )
    values = found.double() - rule.threshold
    if rule.outside is not None:
        values = torch.where((row == i) & (column == j), values, rule.outside - rule.threshold)
    if rule.reaches:
        values = torch.where((row == -2) | (row == h + 1), -1.0, values)
    return values


def where(flags: Tensor) -> Tensor:
    """Indices of the true ones of bool (n,), ascending; NumPy's is the faster one on a CPU."""
    if flags.device.type == "cpu":
        return torch.from_numpy(np.flatnonzero(flags.numpy()))
    return torch.nonzero(flags).view(-1)


def sort(values: Tensor) -> Tensor:
    """Ascending i64 (n,); NumPy's is the faster one on a CPU."""
    if values.device.type == "cpu":
        return torch.from_numpy(np.sort(values.numpy()))
    return torch.sort(values).values
