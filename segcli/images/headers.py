"""Read sizes, depths and metadata of images that Pillow cannot open, without decoding.

Decoders of these formats decode first and report the size afterwards. With these readers, an
oversized image is refused before it is decoded. Every function raises ImageError for an invalid
header. Layouts: RFC 9649 (WebP), ISO/IEC 15444-1 (JPEG 2000), ISO/IEC 23008-12 and the AV1 Image
File Format (AVIF), ISO/IEC 18181-1 and -2 (JPEG XL).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from segcli.errors import ImageError
from segcli.types import Size


@dataclass(frozen=True, slots=True)
class Description:
    """`size` (h, w) px as the decoder returns it, `channels` and `depth` in bits per channel (None:
    unknown), `orientation` as in EXIF, still to be applied (None: use the one in `exif`)."""

    size: Size
    channels: int = 4
    depth: int | None = 8
    orientation: int | None = 1
    exif: bytes = b""
    icc: bytes = b""
    frames: int = 1


def webp(data: bytes) -> Description:
    """The canvas of an extended file, or the size of the only frame."""
    size: Size | None = None
    exif = icc = b""
    frames = 0
    for kind, body in _riff_chunks(data):
        if kind == b"VP8X" and len(body) >= 10:
            size = _int24(body, 7) + 1, _int24(body, 4) + 1
        elif kind == b"VP8L" and size is None and body[:1] == b"\x2f" and len(body) >= 5:
            bits = int.from_bytes(body[1:5], "little")
            size = (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
        elif kind == b"VP8 " and size is None and body[3:6] == b"\x9d\x01\x2a" and len(body) >= 10:
            width, height = struct.unpack_from("<HH", body, 6)
            size = height & 0x3FFF, width & 0x3FFF
        elif kind == b"ANMF":
            frames += 1
        elif kind == b"EXIF":
            exif = body
        elif kind == b"ICCP":
            icc = body
    if size is None:
        raise ImageError("damaged or truncated WEBP image: no size in its header")
    return Description(size, orientation=None, exif=exif, icc=icc, frames=max(1, frames))


def _int24(body: bytes, at: int) -> int:
    return int.from_bytes(body[at : at + 3], "little")


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at + 8 <= len(data):
        kind, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        yield kind, data[at + 8 : at + 8 + length]
        at += 8 + length + (length & 1)


def jpeg2000(data: bytes) -> Description:
    """From the first codestream's SIZ segment; the colour profile from the file format's boxes."""
    icc, start = b"", 0
    if not data.startswith(b"\xff\x4f"):
        for kind, begin, end in boxes(data, 0, len(data)):
            if kind == b"jp2h":
                icc = _profile_of_jp2(data, begin, end)
            elif kind == b"jp2c":
                start = begin
                break
        else:
            raise ImageError("damaged or truncated JPEG2000 image: no codestream")
    if data[start : start + 4] != b"\xff\x4f\xff\x51" or len(data) < start + 43:
        raise ImageError("damaged or truncated JPEG2000 image: no size in its codestream")
    right, bottom, left, top = struct.unpack_from(">4I", data, start + 8)
    (channels,) = struct.unpack_from(">H", data, start + 40)
    depth = (data[start + 42] & 0x7F) + 1
    return Description((bottom - top, right - left), channels, depth, icc=icc)


def _profile_of_jp2(data: bytes, begin: int, end: int) -> bytes:
    for kind, first, last in boxes(data, begin, end):
        if kind == b"colr" and data[first : first + 1] in (b"\x02", b"\x03"):
            return data[first + 3 : last]
    return b""


def boxes(data: bytes, begin: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(type, begin, end) of the contents of each box of an ISO base media file."""
    while begin + 8 <= end:
        length, kind = struct.unpack_from(">I4s", data, begin)
        inside = begin + 8
        if length == 1 and begin + 16 <= end:
            (length,) = struct.unpack_from(">Q", data, inside)
            inside += 8
        stop = end if length == 0 else begin + length
        if stop < inside:
            return
        yield kind, inside, min(stop, end)
        begin = stop


# (quarter turns anticlockwise, axis of the mirror or None) -> orientation as EXIF numbers it
_TURNS = {
    (0, None): 1, (1, None): 8, (2, None): 3, (3, None): 6,
    (0, 0): 4, (1, 0): 5, (2, 0): 2, (3, 0): 7,
    (0, 1): 2, (1, 1): 7, (2, 1): 4, (3, 1): 5,
}  # fmt: skip


def avif(data: bytes) -> Description:
    """The properties of the primary image; frames of an image sequence are not counted."""
    meta = next(((b, e) for k, b, e in boxes(data, 0, len(data)) if k == b"meta"), None)
    if meta is None:
        raise ImageError("damaged or truncated AVIF image: no description of its items")
    size: Size | None = None
    largest = 0, 0
    angle, mirror, depth, icc = 0, None, None, b""
    for kind, body in _properties(data, *meta):
        if kind == b"ispe" and len(body) >= 12:
            width, height = struct.unpack_from(">II", body, 4)
            size = height, width
            largest = max(largest, size, key=lambda one: one[0] * one[1])
        elif kind == b"irot" and body:
            angle = body[0] & 3
        elif kind == b"imir" and body:
            mirror = body[0] & 1
        elif kind == b"pixi" and len(body) > 5:
            depth = body[5]
        elif kind == b"colr" and body[:4] in (b"prof", b"rICC"):
            icc = body[4:]
    if size is None:
        raise ImageError("damaged or truncated AVIF image: no size among its properties")
    return Description(largest, depth=depth, orientation=_TURNS[angle, mirror], icc=icc)


def _properties(data: bytes, begin: int, end: int) -> Iterator[tuple[bytes, bytes]]:
    """The properties of the primary item, or all properties if the file does not assign them."""
    primary, listed, wanted = None, [], None
    for kind, first, last in boxes(data, begin + 4, end):
        if kind == b"pitm" and last - first >= 6:
            wide = data[first] > 0
            primary = int.from_bytes(data[first + 4 : first + (8 if wide else 6)], "big")
        elif kind == b"iprp":
            for inner, start, stop in boxes(data, first, last):
                if inner == b"ipco":
                    listed = [(k, data[b:e]) for k, b, e in boxes(data, start, stop)]
                elif inner == b"ipma" and primary is not None:
                    wanted = _associated(data[start:stop], primary)
    for number, found in enumerate(listed, start=1):
        if wanted is None or number in wanted:
            yield found


def _associated(body: bytes, item: int) -> set[int] | None:
    """The numbers of the properties of `item` in an `ipma` box; None if it has none."""
    if len(body) < 8:
        return None
    wide_ids, wide_numbers = body[0] > 0, bool(body[3] & 1)
    (entries,) = struct.unpack_from(">I", body, 4)
    at = 8
    for _ in range(min(entries, len(body))):
        step = 4 if wide_ids else 2
        own = int.from_bytes(body[at : at + step], "big")
        count = body[at + step] if at + step < len(body) else 0
        at += step + 1
        width = 2 if wide_numbers else 1
        mask = 0x7FFF if wide_numbers else 0x7F
        if own == item:
            parts = (body[at + i * width : at + (i + 1) * width] for i in range(count))
            return {int.from_bytes(part, "big") & mask for part in parts}
        at += count * width
    return None


_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


def jpeg_xl(data: bytes) -> Description:
    """From the first bits of the codestream. libjxl itself rotates the picture."""
    exif = b""
    codestream = data if data.startswith(b"\xff\x0a") else b""
    if not codestream:
        for kind, begin, end in boxes(data, 0, len(data)):
            if kind == b"jxlc" and not codestream:
                codestream = data[begin : min(end, begin + 64)]
            elif kind == b"jxlp":
                codestream += data[begin + 4 : min(end, begin + 68)]
            elif kind == b"Exif":
                exif = data[begin + 4 : end]
    if len(codestream) < 4:
        raise ImageError("damaged or truncated JPEG XL image: no codestream")
    bits = _Bits(codestream[2:64])
    size = _jxl_size(bits)
    swapped, depth = _jxl_metadata(bits)
    return Description(size[::-1] if swapped else size, depth=depth, exif=exif)


class _Bits:
    """Reads numbers from the lowest bit on; bits beyond the end are zero."""

    def __init__(self, data: bytes) -> None:
        self._rest = int.from_bytes(data, "little")

    def take(self, count: int) -> int:
        value = self._rest & ((1 << count) - 1)
        self._rest >>= count
        return value

    def side(self) -> int:
        return self.take((9, 13, 18, 30)[self.take(2)]) + 1


def _jxl_size(bits: _Bits) -> Size:
    small = bits.take(1)
    height = (bits.take(5) + 1) * 8 if small else bits.side()
    ratio = bits.take(3)
    if ratio:
        times, by = _RATIOS[ratio - 1]
        return height, height * times // by
    return height, (bits.take(5) + 1) * 8 if small else bits.side()


def _jxl_metadata(bits: _Bits) -> tuple[bool, int | None]:
    """(whether the decoder swaps the axes, bits per channel if they can be read)."""
    if bits.take(1):  # all defaults
        return False, 8
    orientation = 1
    if bits.take(1):
        orientation = bits.take(3) + 1
        if bits.take(1) or bits.take(1) or bits.take(1):  # intrinsic size, preview, animation
            return orientation > 4, None
    if bits.take(1):  # floating point
        return orientation > 4, None
    choice = bits.take(2)
    return orientation > 4, (8, 10, 12, 0)[choice] or bits.take(6) + 1


_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})


def jpeg(data: bytes) -> tuple[Description, int]:
    """The frame header and EXIF, and the frame's marker, which states the kind of coding."""
    exif, at = b"", 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            described = Description(
                (height, width), data[at + 9], data[at + 4], orientation=None, exif=exif
            )
            return described, marker
        if marker == 0xE1 and data[at + 4 : at + 8] == b"Exif":
            exif = data[at + 4 : at + 2 + length]
        if marker == 0xDA:
            break
        at += 1 if marker == 0xFF else 2 + length
    raise ImageError("damaged or truncated JPEG image: no frame in its header")
