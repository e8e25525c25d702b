"""Read WebP, JPEG 2000, AVIF, JPEG XL and deep JPEG with imagecodecs if Pillow cannot read them.

The wheel of imagecodecs contains these decoders, so they do not depend on how Pillow was built.
Each image is described from its header first (`segcli.images.headers`), and decoded afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image as PilImage

from segcli.errors import ImageError
from segcli.images import headers
from segcli.images.depth import shallow
from segcli.images.headers import Description
from segcli.images.opened import Opened, finish, orientation_in, parsed_exif, swapped
from segcli.types import Size

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_CHANNELS = 5  # colour in four channels, and transparency
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def open_webp(data: bytes) -> Opened:
    return _opened("WEBP", headers.webp(data), lambda codecs: codecs.webp_decode(data))


def encode_webp(pixels: NDArray[np.uint8], quality: int) -> bytes:
    """uint8 (h, w, 3) RGB or (h, w, 4) RGBA as a lossy WebP file; `quality` 0 to 100."""
    import imagecodecs

    return bytes(imagecodecs.webp_encode(np.ascontiguousarray(pixels), level=quality))


def open_jpeg2000(data: bytes) -> Opened:
    return _opened(
        "JPEG2000",
        headers.jpeg2000(data),
        lambda codecs: codecs.jpeg2k_decode(data, numthreads=1),
    )


def open_avif(data: bytes) -> Opened:
    return _opened(
        "AVIF",
        headers.avif(data),
        lambda codecs: codecs.avif_decode(data, index=0, numthreads=1),
    )


def open_jpeg_xl(data: bytes) -> Opened:
    return _opened(
        "JPEG XL",
        headers.jpeg_xl(data),
        lambda codecs: codecs.jpegxl_decode(data, index=0, numthreads=1),
    )


def _opened(name: str, described: Description, decode: Callable[[Any], NDArray[Any]]) -> Opened:
    if not 1 <= described.channels <= _MOST_CHANNELS:
        raise ImageError(f"a {name} image of {described.channels} channels; up to 4 are read")

    def picture(warnings: list[str]) -> PilImage.Image:
        import imagecodecs  # takes 0.4 s, and most runs never need it

        return to_pil(decode(imagecodecs), described.depth, warnings)

    return opened(name, described, picture)


def opened(
    name: str, described: Description, picture: Callable[[list[str]], PilImage.Image]
) -> Opened:
    """An Opened image with this description; `picture` decodes it."""
    orientation = described.orientation
    if orientation is None:
        orientation = orientation_in(parsed_exif(described.exif))

    def decode(_least: Size | None, warnings: list[str]) -> NDArray[np.uint8]:
        return finish(picture(warnings), orientation, described.icc, warnings)

    return Opened(
        name,
        swapped(described.size, orientation),
        decode,
        lambda: parsed_exif(described.exif),
        described.frames,
    )


def to_pil(pixels: NDArray[Any], depth: int | None, warnings: list[str]) -> PilImage.Image:
    """Convert (h, w) or (h, w, channels) samples to 8-bit L, LA, RGB or RGBA; floats to F.

    `depth` is the depth that the file states; for 16 and None it is taken from the values, see
    `segcli.images.depth`.
    """
    if pixels.ndim not in (2, 3):
        raise ImageError(f"an image of {pixels.ndim} dimensions; 2 and channels are read")
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if pixels.dtype.kind == "f":
        grey = pixels if pixels.ndim == 2 else None
        if grey is not None:
            return PilImage.fromarray(grey.astype(np.float32))
        pixels = (np.nan_to_num(pixels).clip(0, 1) * 255).round().astype(np.uint8)
    if pixels.dtype.itemsize > 1:
        pixels = shallow(pixels.clip(0, 65535).astype(np.uint16), warnings, depth=depth)
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    if channels not in _MODES:
        raise ImageError(f"an image of {channels} channels; up to 4 are read")
    return PilImage.fromarray(np.ascontiguousarray(pixels, np.uint8))
