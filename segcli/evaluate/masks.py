"""Many run-length masks at once: checked and measured before compiled code sees them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segcli import rle
from segcli.errors import UsageError

_TEXT_AT_ONCE = 2**20  # bytes of run lengths; the work space is some fifty times as much
_LONGEST = 7  # characters of the longest number that a run can need, as in segcli.rle


@dataclass(frozen=True, slots=True)
class Masks:
    """N masks as COCO's compressed counts: `data` uint8, mask i at offsets[i]:offsets[i + 1]."""

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @staticmethod
    def of(texts: Sequence[bytes]) -> Masks:
        offsets = np.zeros(len(texts) + 1, np.int64)
        np.cumsum([len(text) for text in texts], out=offsets[1:])
        return Masks(np.frombuffer(b"".join(texts), np.uint8), offsets)

    def texts(self) -> list[bytes]:
        data, cuts = self.data.tobytes(), self.offsets.tolist()
        return [data[a:b] for a, b in zip(cuts[:-1], cuts[1:], strict=True)]

    def text(self, index: int) -> bytes:
        return self.data[self.offsets[index] : self.offsets[index + 1]].tobytes()

    def take(self, index: NDArray[np.int64]) -> Masks:
        """The masks of these numbers, in this order."""
        texts = self.texts()
        return Masks.of([texts[i] for i in index.tolist()])


def measure(
    masks: Masks, sizes: NDArray[np.int64], *, name: Callable[[int], str]
) -> NDArray[np.int64]:
    """Pixels inside each of N masks of `sizes` (N, 2) px, every one checked as rle.check does.

    Raises UsageError for the first that is damaged; `name` says which one that is.
    """
    areas = np.empty(len(masks), np.int64)
    first = 0
    while first < len(masks):
        reach = masks.offsets[first] + _TEXT_AT_ONCE
        last = max(first + 1, int(np.searchsorted(masks.offsets, reach)) - 1)
        part, whole = _areas(masks, first, last, sizes[first:last])
        for wrong in np.flatnonzero(~whole).tolist():
            _refuse(masks.text(first + wrong), sizes[first + wrong], name(first + wrong))
        areas[first:last] = part
        first = last
    return areas


def _refuse(text: bytes, size: NDArray[np.int64], name: str) -> None:
    try:
        rle.check(text, int(size[0]), int(size[1]))
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from None
    raise AssertionError(f"{name}: the two checks of run lengths disagree")


def _areas(
    masks: Masks, first: int, last: int, sizes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Areas of masks first..last, and which of them are whole; areas of the others mean nothing."""
    cuts = masks.offsets[first : last + 1] - masks.offsets[first]
    codes = masks.data[masks.offsets[first] : masks.offsets[last]].astype(np.int64) - 48
    whole = _sane(sizes) & (np.diff(cuts) > 0)
    ends_number = (codes & 32) == 0
    # A mask without an end of its own would lend its last number to its neighbour.
    whole[whole] &= ends_number[cuts[1:][whole] - 1]
    bad = (codes < 0) | (codes > 63)
    if bad.any():
        whole &= ~_any(bad, cuts)
    if not whole.all():
        # Keep only what can be read; the rest is told apart by the careful check.
        keep = np.repeat(whole, np.diff(cuts))
        codes, ends_number = codes[keep], ends_number[keep]
        cuts = np.concatenate(([0], np.cumsum(np.diff(cuts) * whole)))
    areas = np.zeros(len(whole), np.int64)
    if whole.any():
        areas[whole], whole[whole] = _summed(codes, ends_number, cuts[1:][whole], sizes[whole])
    return areas, whole


def _summed(
    codes: NDArray[np.int64],
    ends_number: NDArray[np.bool_],
    text_ends: NDArray[np.int64],
    sizes: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Areas (n,) of n masks whose texts end with a whole number, and whether their runs fit."""
    ends = np.flatnonzero(ends_number)
    starts = np.concatenate(([0], ends[:-1] + 1))
    widths = ends - starts + 1
    rank = np.arange(len(codes)) - np.repeat(starts, widths)
    values = np.add.reduceat((codes & 31) << (5 * np.minimum(rank, _LONGEST)), starts)
    values -= np.where(codes[ends] & 16, np.int64(1) << (5 * np.minimum(widths, _LONGEST)), 0)
    stops = np.searchsorted(ends, text_ends)  # runs up to and including each mask
    begins = np.concatenate(([0], stops[:-1]))
    lengths = stops - begins
    place = np.arange(len(values)) - np.repeat(begins, lengths)
    odd = (place & 1) == 1
    runs = np.where(
        place == 0,
        values,
        np.where(
            odd,
            _sums_within(np.where(odd, values, 0), begins, lengths),
            _sums_within(np.where(odd | (place == 0), 0, values), begins, lengths),
        ),
    )
    pixels = sizes[:, 0] * sizes[:, 1]
    fits = (runs >= 0) & (runs <= np.repeat(pixels, lengths)) & (widths <= _LONGEST)
    whole = np.logical_and.reduceat(fits, begins)
    runs[~fits] = 0
    whole &= np.add.reduceat(runs, begins) == pixels
    return np.add.reduceat(np.where(odd, runs, 0), begins), whole


def _sums_within(
    values: NDArray[np.int64], begins: NDArray[np.int64], lengths: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Running sums that start anew at each of `begins`."""
    running = np.cumsum(values)
    before = np.where(begins > 0, running[begins - 1], 0)
    sums: NDArray[np.int64] = running - np.repeat(before, lengths)
    return sums


def _any(flags: NDArray[np.bool_], cuts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether any flag is set between cuts[i] and cuts[i + 1]."""
    counted = np.concatenate(([0], np.cumsum(flags)))
    found: NDArray[np.bool_] = counted[cuts[1:]] > counted[cuts[:-1]]
    return found


def _sane(sizes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Sides of at least 1 px, and no more pixels than run lengths can count."""
    tall, wide = sizes[:, 0], sizes[:, 1]
    sane: NDArray[np.bool_] = (tall >= 1) & (wide >= 1) & (tall <= rle.MAX_PIXELS // wide.clip(1))
    return sane
