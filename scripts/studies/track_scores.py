"""HOTA, IDF1 and switches of tracks whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Frame = tuple[Sequence[int], Sequence[int], NDArray[np.float64]]
"""The true ids, the found ids, and the IoU of each pair (true, found)."""


@dataclass(frozen=True)
class Scores:
    """`hota`, `ass_a` and `idf1` in [0, 1], `switches` of the id of a true object, `tracks` found
    for `objects` true ones."""

    hota: float
    ass_a: float
    idf1: float
    switches: int
    tracks: int
    objects: int


def scores(frames: Sequence[Frame]) -> Scores:
    """HOTA (Luiten et al., IJCV 2021) over thresholds from 0.05 to 0.95; IDF1 (Ristani et al.,
    2016) and switches (Bernardin and Stiefelhagen, 2008) at an IoU of 0.5."""
    true = {t: i for i, t in enumerate(dict.fromkeys(t for f in frames for t in f[0]))}
    found = {t: i for i, t in enumerate(dict.fromkeys(t for f in frames for t in f[1]))}
    data = [
        (np.array([true[t] for t in a], int), np.array([found[t] for t in b], int), s)
        for a, b, s in frames
    ]
    per_alpha = [_hota(data, len(true), len(found), a) for a in np.arange(0.05, 0.99, 0.05)]
    hota, ass_a = np.mean(per_alpha, axis=0)
    idf1, switches = _idf1(data, len(true), len(found)), _switches(data, len(true))
    return Scores(float(hota), float(ass_a), idf1, switches, len(found), len(true))


def _counts(data, true: int, found: int):  # type: ignore[no-untyped-def]
    return (
        np.bincount(np.concatenate([a for a, _, _ in data]), minlength=true),
        np.bincount(np.concatenate([b for _, b, _ in data]), minlength=found),
    )


def _hota(data, true: int, found: int, alpha: float) -> tuple[float, float]:  # type: ignore[no-untyped-def]
    """(HOTA, association accuracy) at one threshold."""
    of_true, of_found = _counts(data, true, found)
    potential = np.zeros((true, found))
    for a, b, s in data:
        total = s.sum(0)[None, :] + s.sum(1)[:, None] - s
        potential[a[:, None], b[None, :]] += np.divide(s, total, out=np.zeros_like(s), where=s > 0)
    alike = potential / (of_true[:, None] + of_found[None, :] - potential)
    both = np.zeros((true, found))
    hits = 0
    for a, b, s in data:
        if not len(a) or not len(b):
            continue
        rows, columns = linear_sum_assignment(alike[np.ix_(a, b)] * s, maximize=True)
        good = s[rows, columns] >= alpha - np.finfo(float).eps
        np.add.at(both, (a[rows[good]], b[columns[good]]), 1)
        hits += int(good.sum())
    if not hits:
        return 0.0, 0.0
    association = both / np.maximum(1, of_true[:, None] + of_found[None, :] - both)
    ass_a = float((both * association).sum() / hits)
    det_a = hits / (of_true.sum() + of_found.sum() - hits)
    return float(np.sqrt(det_a * ass_a)), ass_a


def _idf1(data, true: int, found: int) -> float:  # type: ignore[no-untyped-def]
    of_true, of_found = _counts(data, true, found)
    both = np.zeros((true, found))
    for a, b, s in data:
        rows, columns = np.nonzero(s >= 0.5)
        np.add.at(both, (a[rows], b[columns]), 1)
    rows, columns = linear_sum_assignment(both, maximize=True)
    return float(2 * both[rows, columns].sum() / max(1, of_true.sum() + of_found.sum()))


def _switches(data, true: int) -> int:  # type: ignore[no-untyped-def]
    """How often a true object is matched by another id than the last time; kept if possible."""
    last = np.full(true, -1)
    count = 0
    for a, b, s in data:
        if not len(a) or not len(b):
            continue
        worth = np.where(s >= 0.5, s + 1000 * (last[a][:, None] == b[None, :]), 0.0)
        rows, columns = linear_sum_assignment(worth, maximize=True)
        good = worth[rows, columns] > 0
        now, before = b[columns[good]], last[a[rows[good]]]
        count += int(((before >= 0) & (before != now)).sum())
        last[a[rows[good]]] = now
    return count
