"""Check and measure many run-length masks at once, before compiled code reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segcli.errors import UsageError
from segcli.masks import rle

_TEXT_AT_ONCE = 2**17  # bytes of run lengths, so that the work space stays in the cache
_LONGEST = 7  # characters of the longest number that a run can need, as in segcli.masks.rle
_WIDE = 5  # from numbers of so many characters on, runs that are too long might overflow a sum


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
    """The area in px of each of N masks of `sizes` (N, 2) px, all checked as by rle.check.

    Raises UsageError for the first damaged mask; `name` names it.
    """
    areas = np.zeros(len(masks), np.int64)
    for first, last in _spans(masks):
        areas[first:last], whole = _areas(masks, first, last, sizes[first:last])
        for wrong in np.flatnonzero(~whole).tolist():
            _refuse(masks.text(first + wrong), sizes[first + wrong], name(first + wrong))
    return areas


def _spans(masks: Masks) -> list[tuple[int, int]]:
    """Masks first..last of at most so much text, or one mask that is longer."""
    spans, first = [], 0
    while first < len(masks):
        reach = masks.offsets[first] + _TEXT_AT_ONCE
        last = max(first + 1, int(np.searchsorted(masks.offsets, reach)) - 1)
        spans.append((first, last))
        first = last
    return spans


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
    codes = masks.data[masks.offsets[first] : masks.offsets[last]] - np.uint8(48)
    whole = _sane(sizes) & (np.diff(cuts) > 0)
    # A mask without an end of its own would lend its last number to its neighbour.
    whole[whole] &= codes[cuts[1:][whole] - 1] < 32
    if len(codes) and codes.max() > 63:
        whole &= ~_any(codes > 63, cuts)
    if not whole.all():
        # Keep only what can be read; the rest is told apart by the careful check.
        codes = codes[np.repeat(whole, np.diff(cuts))]
        cuts = np.concatenate(([0], np.cumsum(np.diff(cuts) * whole)))
    areas = np.zeros(len(whole), np.int64)
    if whole.any():
        areas[whole], whole[whole] = _summed(codes, cuts[1:][whole], sizes[whole])
    return areas, whole


def _summed(
    codes: NDArray[np.uint8], text_ends: NDArray[np.int64], sizes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Areas (n,) of n masks whose texts end with a whole number, and whether their runs fit."""
    ends = np.flatnonzero(codes < 32)
    values, short, longest = _numbers(codes, ends)
    stops = np.searchsorted(ends, text_ends)  # runs up to and including each mask
    begins = np.concatenate(([0], stops[:-1]))
    pixels = sizes[:, 0] * sizes[:, 1]
    # Each run but the first three is the difference to the run two before it, so the numbers at
    # even places sum up to runs, and those at odd places. The first of all has no successor.
    total = values[begins]
    values[begins] = 0
    whole = total >= 0
    if longest == _LONGEST:
        whole &= ~_any(~short, np.concatenate((begins, stops[-1:])))
    areas = np.zeros(len(sizes), np.int64)
    for parity in (0, 1):
        chain = np.cumsum(values[parity::2])
        if not len(chain):
            continue
        low, high = (begins - parity + 1) // 2, (stops - parity + 1) // 2  # each mask's part of it
        some = np.flatnonzero(high > low)
        start = low[some]
        before = np.where(start > 0, chain[start - 1], 0)  # what its neighbours left in the sum
        whole[some] &= np.minimum.reduceat(chain, start) >= before
        if longest >= _WIDE or len(codes) > _TEXT_AT_ONCE:
            whole[some] &= np.maximum.reduceat(chain, start) - before <= pixels[some]
        own = np.add.reduceat(chain, start) - (high - low)[some] * before
        total[some] += own
        areas[some] += np.where((begins[some] + parity) % 2, own, 0)  # every other run is inside
    return areas, whole & (total == pixels)


def _numbers(
    codes: NDArray[np.uint8], ends: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_], int]:
    """Signed numbers of five bits a character, lowest first; which are not too long; the longest.

    Characters beyond the longest that a run can need are left out of a number.
    """
    last = codes[ends]
    values = (last & 15).astype(np.int64) - (last & 16)  # the last character carries the sign
    widths = np.diff(ends, prepend=-1)
    left = np.flatnonzero(widths > 1)
    longest = 1
    while len(left) and longest < _LONGEST:
        values[left] = (values[left] << 5) | (codes[ends[left] - longest] & 31)
        longest += 1
        left = left[widths[left] > longest]
    return values, widths <= _LONGEST, longest


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
