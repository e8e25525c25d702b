"""The exact outlines of a mask along the edges of its pixels: its parts and their holes.

Pixels that touch only at a corner belong to different parts, so every outline is a simple polygon.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segcli.masks import rle

Ring = list[tuple[int, int]]
"""Corners (x, y) px of a closed outline, the first not repeated; horizontal and vertical sides."""


@dataclass(frozen=True, slots=True)
class Part:
    """An outline and the outlines of its holes."""

    outer: Ring
    holes: tuple[Ring, ...]


def parts(text: bytes, height: int, width: int) -> list[Part]:
    """The parts of a mask of height x width px. Raises UsageError for a damaged RLE."""
    x, y, mask = rle.decode_crop(text, height, width)
    if not mask.size:
        return []
    outer: list[Ring] = []
    holes: list[Ring] = []
    for ring in _rings(mask):
        left, top = min(ring, key=lambda corner: (corner[1], corner[0]))
        (outer if mask[top, left] else holes).append(ring)
    homes: list[list[Ring]] = [[] for _ in outer]
    areas = [_area(ring) for ring in outer]
    by_area = np.argsort(areas, kind="stable").tolist()
    for hole in holes:
        left, top = min(hole, key=lambda corner: (corner[1], corner[0]))
        # The pixel above a hole's first corner belongs to the part that the hole is in.
        homes[_container(outer, by_area, left + 0.5, top - 0.5)].append(hole)
    return [
        Part(_moved(ring, x, y), tuple(_moved(hole, x, y) for hole in own))
        for ring, own in zip(outer, homes, strict=True)
    ]


def _rings(mask: NDArray[np.bool_]) -> list[Ring]:
    """Walks from corner to corner: along its row to the partner there, then along the column.

    On each line of the pixel grid the corners, in order, are the two ends of one side after
    another. Where two pixels touch at a corner there are two corners in one place, one for each.
    """
    padded = np.pad(mask, 1)
    nw, ne, sw, se = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    single = nw ^ ne ^ sw ^ se
    y, x = np.nonzero(single)
    level = np.zeros(len(y), np.int64)
    # Falling pairs (nw, se): one corner has its sides west and north, the other east and south.
    fall_y, fall_x = np.nonzero(~single & nw & se & ~ne & ~sw)
    rise_y, rise_x = np.nonzero(~single & ne & sw & ~nw & ~se)
    ys = np.concatenate([y, fall_y, fall_y, rise_y, rise_y])
    xs = np.concatenate([x, fall_x, fall_x, rise_x, rise_x])
    east = np.concatenate([level, fall_x * 0, fall_x * 0 + 1, rise_x * 0, rise_x * 0 + 1])
    south = np.concatenate([level, fall_x * 0, fall_x * 0 + 1, rise_x * 0 + 1, rise_x * 0])
    along_row = _partners(np.lexsort((east, xs, ys)))
    along_column = _partners(np.lexsort((south, ys, xs)))
    corners = list(zip(xs.tolist(), ys.tolist(), strict=True))
    return _walk(corners, along_row, along_column)


def _partners(order: NDArray[np.int64]) -> list[int]:
    partner = np.empty(len(order), np.int64)
    partner[order[::2]] = order[1::2]
    partner[order[1::2]] = order[::2]
    found: list[int] = partner.tolist()
    return found


def _walk(corners: Ring, along_row: list[int], along_column: list[int]) -> list[Ring]:
    seen = [False] * len(corners)
    rings = []
    for start in range(len(corners)):
        if seen[start]:
            continue
        ring, at = [], start
        while not seen[at]:
            across = along_row[at]
            seen[at] = seen[across] = True
            ring += [corners[at], corners[across]]
            at = along_column[across]
        rings.append(ring)
    return rings


def _container(rings: list[Ring], by_area: list[int], x: float, y: float) -> int:
    """The smallest ring around the point."""
    for i in by_area:
        if _inside(rings[i], x, y):
            return i
    raise AssertionError("a hole is in no part")


def _inside(ring: Ring, x: float, y: float) -> bool:
    """Counts the vertical sides to the left of the point."""
    odd = False
    for (ax, ay), (bx, by) in zip(ring, ring[1:] + ring[:1], strict=True):
        if ax == bx and ax < x and min(ay, by) < y < max(ay, by):
            odd = not odd
    return odd


def _area(ring: Ring) -> float:
    return abs(signed_area(ring))


def signed_area(ring: Ring) -> float:
    """px; above 0 when it runs clockwise as seen on the screen."""
    pairs = zip(ring, ring[1:] + ring[:1], strict=True)
    return sum(ax * by - bx * ay for (ax, ay), (bx, by) in pairs) / 2


def _moved(ring: Ring, x: int, y: int) -> Ring:
    return [(cx + x, cy + y) for cx, cy in ring]
