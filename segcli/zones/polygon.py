"""Checks of polygons."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segcli.zones.zone import Path


def is_flat(ring: Path) -> bool:
    """Whether all corners are on one straight line."""
    points = np.array(ring)
    return bool(np.linalg.matrix_rank(points - points[0], tol=1e-9) < 2)


def crossing(rings: Sequence[Path]) -> tuple[float, float] | None:
    """A point where two sides of the rings meet that do not follow one another; None if there is
    no such point. The rings are not closed: the last point differs from the first."""
    starts = np.concatenate([np.array(ring) for ring in rings])
    ends = np.concatenate([np.roll(np.array(ring), -1, axis=0) for ring in rings])
    sides = len(starts)
    first, second = np.triu_indices(sides, 1)
    apart = ~(_equal(ends[first], starts[second]) | _equal(ends[second], starts[first]))
    first, second = first[apart], second[apart]
    a, b, c, d = starts[first], ends[first], starts[second], ends[second]
    met = (_turn(a, b, c) * _turn(a, b, d) <= 0) & (_turn(c, d, a) * _turn(c, d, b) <= 0)
    met &= _overlap(a, b, c, d)
    if not met.any():
        return None
    where = int(np.flatnonzero(met)[0])
    return _point(a[where], b[where], c[where], d[where])


def _equal(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray((one == other).all(axis=1))


def _turn(
    a: NDArray[np.float64], b: NDArray[np.float64], p: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Of each p from the way from a to b: its sign says on which side p is."""
    turn = (b[:, 0] - a[:, 0]) * (p[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (p[:, 0] - a[:, 0])
    return np.where(np.abs(turn) < 1e-15, 0.0, np.sign(turn))


def _overlap(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    c: NDArray[np.float64],
    d: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Whether the boxes of two sides share a point: sides on one straight line need not meet."""
    low = np.maximum(np.minimum(a, b), np.minimum(c, d))
    high = np.minimum(np.maximum(a, b), np.maximum(c, d))
    return np.asarray((low <= high).all(axis=1))


def _point(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    c: NDArray[np.float64],
    d: NDArray[np.float64],
) -> tuple[float, float]:
    """Where two sides that meet do so; for sides on one line, a corner of them."""
    r, s, q = b - a, d - c, c - a
    across = r[0] * s[1] - r[1] * s[0]
    along = 0.0 if abs(across) < 1e-15 else (q[0] * s[1] - q[1] * s[0]) / across
    x, y = (a + along * r).tolist()
    return x, y
