"""Damage between the elements of a Matroska or WebM file.

FFmpeg's reader skips such places without an error, so frames are missing from its packets. This
walks over the headers of clusters and blocks (RFC 9559) and reads none of their content.
"""

from __future__ import annotations

import os

_EBML, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
_IN_SEGMENT = frozenset(
    {
        _CLUSTER, 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1043A770, 0x1C53BB6B, 0x1941A469,
        0x1254C367, 0xEC, 0xBF,
    }
)  # fmt: skip
_IN_CLUSTER = frozenset({0xE7, 0x5854, 0xA7, 0xAB, 0xA3, 0xA0, 0xAF, 0xEC, 0xBF})
_LONGEST = 12  # bytes of a header: 4 of the identifier, 8 of the size


def damaged_at(path: str) -> int | None:
    """The first byte that is not where an element must begin, None if there is none.

    A file that ends inside an element is not damaged in this sense. Raises OSError.
    """
    with open(path, "rb", buffering=0) as file:
        descriptor = file.fileno()
        end = os.fstat(descriptor).st_size
        head = _header(descriptor, 0)
        if head is None or head[0] != _EBML or head[2] is None:
            return None
        head = _header(descriptor, head[1] + head[2])
        if head is None or head[0] != _SEGMENT:
            return None
        _, start, size = head
        return _walk(descriptor, start, end if size is None else min(end, start + size))


def _walk(descriptor: int, at: int, end: int) -> int | None:
    """Over the elements of a segment. A cluster of unknown size ends where the next element of a
    segment begins."""
    cluster_end: int | None = None  # of the cluster that `at` is in
    in_cluster = False
    while at < end:
        if in_cluster and cluster_end is not None and at >= cluster_end:
            in_cluster = False
        head = _header(descriptor, at)
        if head is None:
            return at if end - at > _LONGEST else None
        name, start, size = head
        if name in _IN_SEGMENT and (not in_cluster or (cluster_end is None and name > 0xFF)):
            # Elements with one byte, padding and checksums, also stand inside clusters.
            in_cluster = name == _CLUSTER
            if in_cluster:
                cluster_end = None if size is None else start + size
                at = start
                continue
        elif not in_cluster or name not in _IN_CLUSTER:
            return at
        if size is None or (in_cluster and cluster_end is not None and start + size > cluster_end):
            return at
        at = start + size
    return None


def _header(descriptor: int, at: int) -> tuple[int, int, int | None] | None:
    """(identifier, where the content begins, its size or None if it is unknown); None for what is
    not the header of an element."""
    head = os.pread(descriptor, _LONGEST, at)
    name_bytes = _length(head, 0)
    size_bytes = _length(head, name_bytes)
    if name_bytes > 4 or size_bytes > 8 or len(head) < name_bytes + size_bytes:
        return None
    start = name_bytes + size_bytes
    size = int.from_bytes(head[name_bytes:start], "big") - (1 << (7 * size_bytes))
    unknown = size == (1 << (7 * size_bytes)) - 1
    return int.from_bytes(head[:name_bytes], "big"), at + start, None if unknown else size


def _length(head: bytes, at: int) -> int:
    """The bytes of a number whose first byte is there; more than there can be if it is none."""
    return 9 - head[at].bit_length() if at < len(head) else 9
