"""PNG files of label maps: palette or grey, written without an image library."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]


def indexed(labels: NDArray[np.uint8], palette: list[Colour]) -> bytes:
    """(H, W) indices into at most 256 colours."""
    colours = b"".join(bytes(colour) for colour in palette)
    return _png(labels.astype(np.uint8), depth=8, kind=3, extra=[(b"PLTE", colours)])


def grey(values: NDArray[np.uint16]) -> bytes:
    """(H, W) of 16 bits."""
    return _png(values.astype(">u2"), depth=16, kind=0, extra=[])


def binary(mask: NDArray[np.bool_]) -> bytes:
    """(H, W), white where it is true, one bit a pixel."""
    packed = np.packbits(mask, axis=1)
    return _png(packed, depth=1, kind=0, extra=[], width=mask.shape[1])


def distinct_colours(count: int) -> list[Colour]:
    """Black for index 0, then colours that stay apart, by the rule of PASCAL VOC."""
    found = []
    for index in range(count):
        red = green = blue = 0
        rest = index
        for bit in range(8):
            red |= (rest & 1) << (7 - bit)
            green |= (rest >> 1 & 1) << (7 - bit)
            blue |= (rest >> 2 & 1) << (7 - bit)
            rest >>= 3
        found.append((red, green, blue))
    return found


def _png(
    rows: NDArray[np.generic],
    *,
    depth: int,
    kind: int,
    extra: list[tuple[bytes, bytes]],
    width: int | None = None,
) -> bytes:
    height = len(rows)
    header = struct.pack(">IIBBBBB", width or rows.shape[1], height, depth, kind, 0, 0, 0)
    raw = np.ascontiguousarray(rows).view(np.uint8).reshape(height, -1)
    lines = np.concatenate([np.zeros((height, 1), np.uint8), raw], axis=1)  # 0: no filter
    chunks = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(lines.tobytes(), 6))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*one) for one in [*chunks, (b"IEND", b"")])


def _chunk(name: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)
