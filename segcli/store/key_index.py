"""The keys that have rows, in 16 bytes each: a hash table of sorted buckets."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

_BUCKET = 4096  # keys per bucket before all buckets are split in two

# A key is two words: `head`, 64 bits of its hash, and `tail`, from the highest bit downwards: 12
# more bits of the hash, 10 of a hash of the size, 17 of a hash of the mtime, 22 of the part number,
# listed, failed, fresh. Two of 100 million keys collide with a probability of 7e-8; a change of
# mtime is missed with 8e-6, of mtime and size with 7e-9.
_CHECK_SHIFT, _SIZE_SHIFT, _MTIME_SHIFT, _PART_SHIFT = 52, 42, 25, 3
_CHECK_MASK, _SIZE_MASK, _MTIME_MASK, _PART_MASK = 0xFFF, 0x3FF, 0x1FFFF, 0x3FFFFF
_LISTED, _FAILED, _FRESH = 4, 2, 1
MAX_PARTS = _PART_MASK + 1


class Mark(NamedTuple):
    """The stored facts about one image. `lost`: it repeats an image that is not in its part."""

    key: str
    size_bytes: int | None
    mtime_ns: int | None
    failed: bool
    lost: bool = False


class Entry(NamedTuple):
    """What is known of a key that has rows. `fresh`: they were committed by this run; `listed`:
    or the source has listed it before."""

    part: int
    failed: bool
    fresh: bool
    listed: bool
    size_hash: int
    mtime_hash: int

    def same_size(self, size_bytes: int | None) -> bool:
        return _number_hash(size_bytes) & _SIZE_MASK == self.size_hash

    def same_mtime(self, mtime_ns: int | None) -> bool:
        return _number_hash(mtime_ns) & _MTIME_MASK == self.mtime_hash


def key_hash(key: str) -> bytes:
    """128 bits, equal on every machine."""
    return hashlib.blake2b(key.encode(), digest_size=16).digest()


def _number_hash(value: int | None) -> int:
    return crc32(str(value).encode())


def _words(key: str) -> tuple[int, int]:
    digest = key_hash(key)
    head = int.from_bytes(digest[:8], "big")
    return head, int.from_bytes(digest[8:10], "big") & _CHECK_MASK


class KeyIndex:
    """The keys that have rows. Adding a key again replaces its entry."""

    def __init__(self) -> None:
        # So many leading bits of a key's head are the number of its bucket. One attribute, so that
        # a thread that looks up while another adds never sees the two disagree.
        self._table: tuple[int, list[NDArray[np.uint64]]] = (0, [np.empty((2, 0), np.uint64)])
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __contains__(self, key: str) -> bool:
        return self.find(key) is not None

    @property
    def nbytes(self) -> int:
        return sum(bucket.nbytes for bucket in self._table[1])

    def find(self, key: str) -> Entry | None:
        return self._entry(key, listed=False)

    def has(self, mark: Mark) -> bool:
        """Whether the image is known in this state of its file."""
        entry = self.find(mark.key)
        if entry is None:
            return False
        return entry.same_size(mark.size_bytes) and entry.same_mtime(mark.mtime_ns)

    def find_listed(self, key: str) -> Entry | None:
        """The same of a key that the source lists, which is remembered of it."""
        return self._entry(key, listed=True)

    def unlisted_parts(self) -> list[int]:
        """The numbers of the parts with keys that nothing has listed or committed, ascending."""
        listed = np.uint64(_LISTED | _FRESH)
        rest = [tails[tails & listed == 0] >> np.uint64(_PART_SHIFT) for _, tails in self._table[1]]
        numbers: list[int] = np.unique(np.concatenate(rest) & np.uint64(_PART_MASK)).tolist()
        return numbers

    def _entry(self, key: str, *, listed: bool) -> Entry | None:
        head, check = _words(key)
        bits, buckets = self._table
        # Heads and then tails, as Python's integers: NumPy takes three times as long for one key.
        words = buckets[head >> (64 - bits)].reshape(-1).data
        length = len(words) // 2
        i = bisect_left(words, head, 0, length)
        while i < length and words[i] == head:
            tail = words[length + i]
            if tail >> _CHECK_SHIFT == check:
                if listed:
                    words[length + i] = tail | _LISTED
                return Entry(
                    part=tail >> _PART_SHIFT & _PART_MASK,
                    failed=bool(tail & _FAILED),
                    fresh=bool(tail & _FRESH),
                    listed=bool(tail & (_LISTED | _FRESH)),
                    size_hash=tail >> _SIZE_SHIFT & _SIZE_MASK,
                    mtime_hash=tail >> _MTIME_SHIFT & _MTIME_MASK,
                )
            i += 1
        return None

    def add(self, marks: Iterable[Mark], part: int, *, fresh: bool) -> int:
        """Remember images of part number `part`; returns how many of their keys were known."""
        return self.insert(pack(marks, part, fresh=fresh))

    def insert(self, packed: NDArray[np.uint64]) -> int:
        """The same for many parts at once, (2, n) as `pack` makes them; the later one counts."""
        if packed.shape[1] == 0:
            return 0
        before, (bits, _) = self._length, self._table
        order = np.argsort(packed[0], kind="stable")
        packed = packed[:, order]
        numbers = packed[0] >> np.uint64(64 - bits) if bits else packed[0] * 0
        touched, starts = np.unique(numbers, return_index=True)
        for number, new in zip(touched, np.split(packed, starts[1:], axis=1), strict=True):
            self._merge(int(number), new)
        while self._length > _BUCKET * len(self._table[1]):
            self._split()
        return int(packed.shape[1]) - (self._length - before)

    def _merge(self, number: int, new: NDArray[np.uint64]) -> None:
        buckets = self._table[1]
        old = buckets[number]
        both = np.concatenate([old, new], axis=1)
        check = both[1] >> np.uint64(_CHECK_SHIFT)
        order = np.lexsort((check, both[0]))  # stable: of equal keys the new one comes last
        both, check = both[:, order], check[order]
        again = (both[0, 1:] == both[0, :-1]) & (check[1:] == check[:-1])
        if again.any():
            both = both[:, np.append(~again, True)]
        buckets[number] = np.ascontiguousarray(both)
        self._length += both.shape[1] - old.shape[1]

    def _split(self) -> None:
        bits, buckets = self._table
        bits += 1
        halves: list[NDArray[np.uint64]] = []
        for number, bucket in enumerate(buckets):
            middle = np.uint64((2 * number + 1) << (64 - bits))
            cut = int(np.searchsorted(bucket[0], middle))
            halves += [bucket[:, :cut].copy(), bucket[:, cut:].copy()]
        self._table = (bits, halves)


def with_parts(packed: NDArray[np.uint64], numbers: Sequence[int]) -> NDArray[np.uint64]:
    """The packed keys, with part `numbers[n]` in place of part n."""
    heads, tails = packed
    there = tails >> np.uint64(_PART_SHIFT) & np.uint64(_PART_MASK)
    new = np.array(numbers, np.uint64)[there]
    others = tails & ~np.uint64(_PART_MASK << _PART_SHIFT)
    return np.stack([heads, others | new << np.uint64(_PART_SHIFT)])


def pack(marks: Iterable[Mark], part: int, *, fresh: bool) -> NDArray[np.uint64]:
    """(2, n): the heads and the tails of the marks."""
    heads: list[int] = []
    tails: list[int] = []
    for mark in marks:
        head, check = _words(mark.key)
        heads.append(head)
        tails.append(
            check << _CHECK_SHIFT
            | (_number_hash(mark.size_bytes) & _SIZE_MASK) << _SIZE_SHIFT
            | (_number_hash(mark.mtime_ns) & _MTIME_MASK) << _MTIME_SHIFT
            | part << _PART_SHIFT
            | (_FAILED if mark.failed else 0)
            | (_FRESH if fresh else 0)
        )
    return np.array([heads, tails], dtype=np.uint64).reshape(2, -1)
