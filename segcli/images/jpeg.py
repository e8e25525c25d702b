"""Decode JPEGs with simplejpeg (libjpeg-turbo): Pillow's pixels in a third of its time.

simplejpeg also reports what Pillow hides: that libjpeg found corrupt data and filled in the missing
pixels. It is used only if its pixels are equal. `agrees` decodes small pictures with both once per
process, because a Pillow built with another libjpeg interpolates chroma differently.
"""

from __future__ import annotations

import io
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import simplejpeg
from PIL import Image as PilImage

from segcli.errors import ImageError
from segcli.images import headers

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SCALES = (8, 4, 2)
_LOSSLESS = frozenset({0xC3, 0xC7, 0xCB, 0xCF})


def pixels(data: bytes, least: tuple[int, int] = (0, 0)) -> NDArray[np.uint8] | None:
    """Decode a JPEG to uint8 (h, w, 3) RGB, not rotated; None if libjpeg reports any problem.

    `least` (h, w): decode at 1/2, 1/4 or 1/8 if that is still at least this size. Releases the GIL.
    """
    try:
        if least == (0, 0):
            whole: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, "RGB")
            return whole
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        scale = next((s for s in _SCALES if height // least[0] >= s <= width // least[1]), 1)
        smallest = -(-height // scale), -(-width // scale)
        scaled: NDArray[np.uint8] = simplejpeg.decode_jpeg(
            data, "RGB", min_height=smallest[0], min_width=smallest[1], min_factor=scale
        )
        return scaled
    except ValueError:
        return None


def complaint(data: bytes, *, colorspace: str = "RGB") -> str | None:
    """The warning of libjpeg about data that it can decode; None if there is none.

    Decodes up to twice, so it is for images that `pixels` has refused.
    """
    try:
        simplejpeg.decode_jpeg(data, colorspace)
    except ValueError as objection:
        try:
            simplejpeg.decode_jpeg(data, colorspace, strict=False)
        except ValueError:
            return None  # an error, or a kind of JPEG that simplejpeg does not read
        return str(objection)
    return None


def is_deep(data: bytes) -> bool:
    """Whether samples have more than eight bits, or the frame is lossless."""
    try:
        described, marker = headers.jpeg(data)
    except ImageError:
        return False
    return marker in _LOSSLESS or described.depth != 8


def deep_pixels(data: bytes) -> tuple[NDArray[Any], int]:
    """Decode a JPEG that `is_deep` to (uint8 or uint16 samples, their bits)."""
    import imagecodecs

    return imagecodecs.jpeg8_decode(data), headers.jpeg(data)[0].depth or 8


@cache
def agrees() -> bool:
    """Whether simplejpeg's pixels equal PIL's on this machine (colour, subsampled, grey)."""
    rng = np.random.default_rng(0)
    noise = PilImage.fromarray(rng.integers(0, 256, (13, 18, 3), dtype=np.uint8))
    picture = noise.resize((75, 51), PilImage.Resampling.BICUBIC)
    for mode, subsampling in (("RGB", 0), ("RGB", 1), ("RGB", 2), ("L", 0)):
        file = io.BytesIO()
        picture.convert(mode).save(file, "JPEG", quality=85, subsampling=subsampling)
        with PilImage.open(file) as image:
            expected = np.asarray(image.convert("RGB"))
        got = pixels(file.getvalue())
        if got is None or not np.array_equal(got, expected):
            return False
    return True
