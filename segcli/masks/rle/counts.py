"""Convert run lengths to COCO's compressed text and back, all masks in one pass.

In the text, from the fourth run on, each run is written as the difference to the run two before it,
in groups of five bits, lowest first. The sixth bit is set if more groups follow, and 48 is added to
make the character printable.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segcli.errors import UsageError

MAX_PIXELS = 2**32 - 1
"""The largest height * width: pycocotools keeps a run length in 32 bits."""

_LONGEST = 7
"""The number of groups that suffices for any difference of two 32-bit runs."""


def compress(runs: NDArray[np.integer]) -> bytes:
    """The text for run lengths (n,), column by column, the first one outside the mask (may be 0).

    Byte for byte what pycocotools writes.
    """
    counts = np.ascontiguousarray(runs, dtype=np.int64)
    return compress_many(counts, np.array([len(counts)]))[0]


def compress_many(runs: NDArray[np.int64], lengths: NDArray[np.integer]) -> list[bytes]:
    """The texts of several masks whose `runs` lie one after another, `lengths` runs each."""
    ends = np.cumsum(lengths)
    starts = ends - lengths
    values = runs.copy()
    values[2:] -= runs[:-2]
    # The first three runs of each mask are written as they are.
    head = (starts[:, None] + np.arange(3))[np.arange(3) < np.asarray(lengths)[:, None]]
    values[head] = runs[head]
    text, offsets = _groups(values)
    data = text.tobytes()
    cuts = zip(offsets[starts].tolist(), offsets[ends].tolist(), strict=True)
    return [data[a:b] for a, b in cuts]


def _groups(values: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The characters of signed `values` (n,) and the offset of each one's first, n + 1 of them."""
    if len(values) and values.min() >= -(2**31) and values.max() < 2**31:
        values = values.astype(np.int32)  # half the memory to walk through
    width = np.ones(len(values), np.uint8)
    magnitude = values ^ (values >> (values.itemsize * 8 - 1))  # v, or -v - 1 when negative
    left = np.flatnonzero(magnitude >= 16)  # the few that need another group
    for group in range(1, _LONGEST + 1):
        if not len(left):
            break
        width[left] += 1
        left = left[magnitude[left] >> (5 * group) >= 16]
    offsets = np.zeros(len(values) + 1, np.int64)
    np.cumsum(width, out=offsets[1:], dtype=np.int64)
    text = np.empty(offsets[-1], np.uint8)
    text[offsets[:-1]] = (values & 31) + ((width > 1) * np.uint8(32) + np.uint8(48))
    left = np.flatnonzero(width > 1)
    group = 1
    while len(left):
        more = width[left] > group + 1
        bits = (values[left] >> (5 * group)) & 31
        text[offsets[left] + group] = bits + np.where(more, 80, 48)
        left = left[more]
        group += 1
    return text, offsets


def check(rle: bytes, height: int, width: int) -> None:
    """Raise UsageError unless `rle` is complete and its runs fill exactly height * width pixels.

    Call it on any RLE that segcli has not written itself: pycocotools reads past the end of some
    texts, and measures others wrongly without an error.
    """
    expand(rle, height, width)


def expand(rle: bytes, height: int, width: int) -> NDArray[np.int64]:
    """The run lengths (n,) of a compressed text, checked as by `check`.

    The first run is outside the mask; any run may be 0 px long.
    """
    pixels = _pixels(height, width)
    if not rle:
        raise UsageError(
            f"the mask of {height} x {width} px has no run lengths; expected COCO's compressed "
            f"counts (an empty mask is one run of {pixels})"
        )
    codes = np.frombuffer(rle, np.uint8).astype(np.int64) - 48
    wrong = np.flatnonzero((codes < 0) | (codes > 63))
    if len(wrong):
        raise _malformed(f"character {rle[wrong[0]]} at position {wrong[0]} cannot occur", rle)
    last = (codes & 32) == 0
    if not last[-1]:
        raise _malformed("it ends in the middle of a number", rle)
    ends = np.flatnonzero(last)
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if lengths.max() > _LONGEST:
        raise _malformed(f"a number of {lengths.max()} groups is too long", rle)
    rank = np.arange(len(codes)) - np.repeat(starts, lengths)
    runs = np.add.reduceat((codes & 31) << (5 * rank), starts)
    runs -= np.where(codes[ends] & 16, np.int64(1) << (5 * lengths), 0)  # the sign is the last bit
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    if runs.min() < 0:
        raise _malformed(f"run {int(runs.argmin())} is {runs.min()} px long", rle)
    if runs.max() > pixels or int(runs.sum()) != pixels:
        raise UsageError(
            f"the runs of a mask sum to {int(runs.sum())} px, but its size {height} x {width} has "
            f"{pixels}; is it the RLE of another image, or are height and width swapped?"
        )
    return runs


def _pixels(height: int, width: int) -> int:
    """height * width, both at least 1."""
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise UsageError(
            f"a mask cannot be {height} x {width} px; expected sides of at least 1 px and at most "
            f"{MAX_PIXELS} px in all"
        )
    return int(height) * int(width)


def _malformed(reason: str, rle: bytes) -> UsageError:
    shown = rle[:20] + (b"..." if len(rle) > 20 else b"")
    return UsageError(f"not COCO's compressed counts: {shown!r}: {reason}; the file may be damaged")
