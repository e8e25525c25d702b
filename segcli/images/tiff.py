"""Read the first page of a TIFF with tifffile and imagecodecs, unless Pillow reads it better.

Pillow itself decodes uncompressed TIFF. For the rest it needs libtiff, which not every Pillow has
and which prints messages about damaged files on stderr; and Pillow cuts 16-bit colour to eight
bits. This module reads these files.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Container
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image as PilImage

from segcli.errors import ImageError
from segcli.images.codecs import opened, to_pil
from segcli.images.depth import eight_bits, shallow
from segcli.images.headers import Description
from segcli.images.opened import Opened

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tifffile import TiffPage, TiffTags

RAW = (
    "a camera raw file, of which only a preview could be read; that needs LibRaw "
    "(develop it first: darktable, dcraw)"
)
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _MASK, _CMYK, _YCBCR, _CIELAB = (
    0, 1, 2, 3, 4, 5, 6, 8,
)  # fmt: skip
_JPEG = (6, 7)
SUBFILE, _BITS, _ORIENTATION, _SUB_IFDS, _PROFILE, _DNG = 254, 258, 274, 330, 34675, 50706
_MAKE, _MODEL, _CHANGED, _EXIF_BLOCK, _TAKEN = 271, 272, 306, 34665, 0x9003
_PREMULTIPLIED, _ALPHA = 1, 2
_MOST_PAGES = 10_000
_BYTES_PER_PX = 64  # sixteen samples of four bytes; a header with more is wrong


def open_tiff(data: bytes) -> Opened:
    """Raises ImageError, or any error of tifffile on damaged files."""
    page = _first_page(data)
    tags = page.tags
    if is_raw(int(page.subfiletype), tags):
        raise ImageError(RAW)
    size = int(page.imagelength), int(page.imagewidth)
    _check_memory(page, size)
    orientation = int(tags.valueof(_ORIENTATION, 1))
    profile = tags.valueof(_PROFILE, b"")
    described = Description(
        size,
        orientation=orientation if 1 <= orientation <= 8 else 1,
        exif=_exif(tags),
        icc=profile if isinstance(profile, bytes) else b"",
        frames=count_pages(data),
    )
    return opened("TIFF", described, lambda warnings: _picture(page, warnings))


def is_raw(subfile: int, tags: Container[int]) -> bool:
    """Whether a page is the small preview inside a camera raw file (NEF, DNG)."""
    return _DNG in tags or (subfile == 1 and _SUB_IFDS in tags)


def is_plain(image: PilImage.Image) -> bool:
    """Whether Pillow should read it: an uncompressed, upright page of usual depth.

    For other pages, Pillow uses libtiff if they are compressed, which prints on stderr; rotates
    them differently from release to release; and cuts colour of more than eight bits, or misreads
    it in separate planes.
    """
    tags = getattr(image, "tag_v2", {})
    compressed = any(tile[0] == "libtiff" for tile in getattr(image, "tile", ()))
    deep = image.mode[0] not in "IF" and max(tags.get(_BITS, ()), default=1) > 8
    return not compressed and not deep and tags.get(_ORIENTATION, 1) == 1


def _exif(tags: TiffTags) -> bytes:
    """The EXIF of a page: camera and times."""
    exif = PilImage.Exif()
    for tag in (_MAKE, _MODEL, _CHANGED):
        if isinstance(value := tags.valueof(tag), str):
            exif[tag] = value
    block = tags.valueof(_EXIF_BLOCK)
    if isinstance(block, dict) and isinstance(taken := block.get("DateTimeOriginal"), str):
        exif[_EXIF_BLOCK] = {_TAKEN: taken}
    return exif.tobytes() if len(exif) else b""


def _first_page(data: bytes) -> TiffPage:
    import tifffile

    file = tifffile.TiffFile(io.BytesIO(data), _multifile=False)
    if not len(file.pages):
        raise ImageError("damaged or truncated TIFF image: no page")
    page = file.pages[0]
    assert isinstance(page, tifffile.TiffPage)
    return page


def _check_memory(page: TiffPage, size: tuple[int, int]) -> None:
    """Refuse sizes and tiles that can only come from a damaged header."""
    pixels = max(1, size[0] * size[1])
    tile = int(page.tilelength or 0) * int(page.tilewidth or 0)
    samples = max(1, int(page.samplesperpixel)) * max(1, int(page.imagedepth))
    bytes_per_px = samples * max(1, page.bitspersample // 8)
    if bytes_per_px > _BYTES_PER_PX or tile > 4 * pixels + (1 << 24):
        raise ImageError(
            f"damaged TIFF image: {samples} samples of {page.bitspersample} bits per pixel, "
            f"tiles of {page.tilewidth} x {page.tilelength}"
        )


def _picture(page: TiffPage, warnings: list[str]) -> PilImage.Image:
    samples = _samples(page)
    photometric = int(page.photometric)
    if photometric == _PALETTE and page.colormap is not None and samples.ndim == 2:
        colours = (page.colormap >> 8).astype(np.uint8).T  # (entries, 3)
        return PilImage.fromarray(colours[samples.astype(np.intp).clip(0, len(colours) - 1)])
    if samples.ndim == 2:
        return _grey(page, samples, warnings)
    return _colour(page, samples, photometric, warnings)


def _samples(page: TiffPage) -> NDArray[Any]:
    """(h, w) or (h, w, samples) in the machine's byte order."""
    samples = page.asarray(maxworkers=1)
    if int(page.planarconfig) == 2 and page.samplesperpixel > 1:
        samples = np.moveaxis(samples, 0, -1)
    while samples.ndim > 3 or (samples.ndim == 3 and page.samplesperpixel == 1):
        samples = samples[0] if samples.shape[-1] == page.samplesperpixel else samples[..., 0]
    if samples.ndim == 3 and samples.shape[2] == 1:
        samples = samples[..., 0]
    return samples


def _grey(page: TiffPage, samples: NDArray[Any], warnings: list[str]) -> PilImage.Image:
    bits = int(page.bitspersample)
    if samples.dtype.kind == "b" or bits == 1:
        samples, bits = samples.astype(np.uint8), 1
    if samples.dtype.kind == "f" or (samples.dtype.kind == "i" and samples.itemsize < 8):
        kind = np.float32 if samples.dtype.kind == "f" else np.int32
        return PilImage.fromarray(samples.astype(kind))
    if samples.itemsize > 2:
        whole = samples.max(initial=0) < 1 << 31
        return PilImage.fromarray(samples.astype(np.int32 if whole else np.float32))
    if samples.itemsize == 2:
        white = (1 << bits) - 1
        if int(page.photometric) == _WHITE_IS_ZERO:
            samples = white - np.minimum(samples, white)
        return PilImage.fromarray(shallow(samples.astype(np.uint16), warnings, depth=bits))
    if bits < 8:
        samples = eight_bits(samples.astype(np.uint16), bits)
    return PilImage.fromarray(
        255 - samples if int(page.photometric) in (_WHITE_IS_ZERO, _MASK) else samples
    )


def _colour(
    page: TiffPage, samples: NDArray[Any], photometric: int, warnings: list[str]
) -> PilImage.Image:
    if samples.dtype.kind not in "uf":
        raise ImageError(f"a TIFF image of {samples.dtype} colours; unsigned integers are read")
    if samples.dtype == np.uint16:
        samples = shallow(samples, warnings, depth=int(page.bitspersample))
    extra = [int(kind) for kind in page.extrasamples]
    if photometric == _CMYK:
        return _of_mode("CMYK", samples[..., :4])
    if photometric == _CIELAB:
        return _of_mode("LAB", samples[..., :3])
    if photometric == _YCBCR and int(page.compression) not in _JPEG:
        return _of_mode("YCbCr", samples[..., :3])
    if photometric not in (_RGB, _BLACK_IS_ZERO, _WHITE_IS_ZERO, _YCBCR):
        raise ImageError(f"a TIFF image of photometric kind {photometric}, which is not read")
    channels = 3 if photometric in (_RGB, _YCBCR) else 1
    alpha = bool(extra) and extra[0] in (_PREMULTIPLIED, _ALPHA)
    samples = samples[..., : channels + alpha]
    picture = to_pil(samples, None, warnings)
    if alpha and extra[0] == _PREMULTIPLIED and picture.mode == "RGBA":
        return PilImage.frombytes("RGBa", picture.size, picture.tobytes())
    return picture


def _of_mode(mode: str, samples: NDArray[np.uint8]) -> PilImage.Image:
    height, width = samples.shape[:2]
    # PIL's LAB stores a and b with an offset of 128 and unpacks them from signed ones, as in TIFF.
    return PilImage.frombytes(mode, (width, height), samples.astype(np.uint8).tobytes())


def count_pages(data: bytes) -> int:
    """The number of images in a TIFF file, without those marked as reduced versions."""
    order = "<" if data.startswith(b"II") else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    count_of, offset_of, entry = ("Q", "Q", 20) if big else ("H", "I", 12)
    (at,) = struct.unpack_from(order + offset_of, data, 8 if big else 4)
    seen: set[int] = set()
    pages = 0
    while at and at not in seen and len(seen) < _MOST_PAGES and at + 8 <= len(data):
        seen.add(at)
        (entries,) = struct.unpack_from(order + count_of, data, at)
        first = at + struct.calcsize(count_of)
        end = first + entries * entry
        if end + struct.calcsize(offset_of) > len(data):
            break
        pages += not _is_reduced(data, order, range(first, end, entry), entry)
        (at,) = struct.unpack_from(order + offset_of, data, end)
    return max(1, pages)


def _is_reduced(data: bytes, order: str, entries: range, entry: int) -> bool:
    for at in entries:
        (tag,) = struct.unpack_from(order + "H", data, at)
        if tag == 254:
            (kinds,) = struct.unpack_from(order + "I", data, at + (8 if entry == 12 else 12))
            return bool(kinds & 1)
        if tag > 254:
            return False
    return False
