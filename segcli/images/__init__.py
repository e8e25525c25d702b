"""Decode encoded images to RGB pixels; all image formats are handled in this package.

An image that cannot be decoded completely raises an ImageError that states the reason. There is no
half-grey picture, no crash and no message of a C library. If the result may be wrong or incomplete
(libjpeg found corrupt data, the file has further pages), the Image has a warning.
"""

from __future__ import annotations

import logging
import warnings as python_warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from PIL import UnidentifiedImageError, features
from PIL import __version__ as pil_version

from segcli.errors import ImageError
from segcli.images import codecs, heif, jpeg, pillow, tiff
from segcli.images.format import Format, allowed_for, explain, formats, sniff
from segcli.images.opened import Opened
from segcli.types import Image, Size

__all__ = ["MAX_PIXELS", "RULES", "Decoder", "Format", "decode", "flavour", "formats", "rule"]

MAX_PIXELS = 200_000_000
Decoder = Literal["pil", "turbo"]
AtLeast = Callable[[Size], Size]

RULES = {
    "full": "every pixel is decoded",
    "dct": "JPEGs are decoded at 1/2, 1/4 or 1/8 if that is still at least the content size",
}
"""Rules that change the pixels. They are recorded with a run and compared when it is resumed. The
library that decodes JPEGs is not among them, because it is only used if its pixels are equal."""

CONVERSIONS = {
    "profiles": "embedded RGB and CMYK profiles are converted to sRGB",
    "depth": "16-bit values are scaled by the range of 8, 10, 12, 14 or 16 bits that they use",
}
"""Rules for uncommon files. They are recorded with a run but not compared, so that an output that
was created with older rules can be continued."""

DAMAGED = "damaged"
"""The beginning of the warning about corrupt data; other warnings are about intact files."""

_WHEELS: dict[str, Callable[[bytes], Opened]] = {
    "WEBP": codecs.open_webp,
    "JPEG2000": codecs.open_jpeg2000,
    "AVIF": codecs.open_avif,
    "JPEG XL": codecs.open_jpeg_xl,
    "HEIC": heif.open_heif,
}

# PIL prints warnings about damaged metadata. They are filtered once, here, because all threads
# share the filters. PIL's warning about large pictures is not a UserWarning and stays for others.
python_warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
# Their log messages would be printed if the program has not configured logging.
for _library in ("PIL", "tifffile"):
    logging.getLogger(_library).addHandler(logging.NullHandler())


def rule(at_least: AtLeast | None) -> str:
    """The name in RULES of what `decode` does with this argument."""
    return "full" if at_least is None else "dct"


def flavour() -> str:
    """The installed PIL, e.g. "Pillow-SIMD 12.1.1.post0 with libjpeg-turbo 2.1.5"."""
    name = "Pillow-SIMD" if ".post" in pil_version else "Pillow"
    turbo = features.version("libjpeg_turbo")
    return f"{name} {pil_version} with " + (f"libjpeg-turbo {turbo}" if turbo else "plain libjpeg")


def decode(
    data: bytes,
    *,
    key: str,
    max_pixels: int = MAX_PIXELS,
    at_least: AtLeast | None = None,
    decoder: Decoder = "turbo",
    opened: Callable[[Size], None] | None = None,
    strict: bool = False,
) -> Image:
    """Decode the first frame of an encoded image to uint8 (h, w, 3) sRGB, rotated by its EXIF.

    `at_least` maps the original size to the smallest size to which a JPEG may be scaled while it is
    decoded; None decodes every pixel. `decoder` "pil" decodes JPEGs with Pillow, which gives the
    same pixels more slowly, without warnings about damage. `opened` is called with the original
    size before decoding, so that a caller can wait for memory. `strict` refuses corrupt data that
    libjpeg could decode. Raises ImageError.
    """
    image = open_image(data, key=key, decoder=decoder)
    _check(image.size, max_pixels)
    if opened is not None:
        opened(image.size)
    least = at_least(image.size) if at_least is not None and image.scales else None
    warnings: list[str] = []
    with _translated(data):
        pixels = image.decode(least, warnings)
    if strict and any(text.startswith(DAMAGED) for text in warnings):
        raise ImageError("; ".join(warnings))
    if image.frames > 1:
        kind = "pages" if image.format == "TIFF" else "frames"
        warnings.append(f"several {kind}: the first of {image.frames} is read")
    original = image.size if image.scales else pixels.shape[:2]
    return Image(key, pixels, original, tuple(warnings))


def open_image(data: bytes, *, key: str, decoder: Decoder = "turbo") -> Opened:
    """Read the header without decoding. Raises ImageError."""
    with _translated(data):
        name = sniff(data)
        known = next((format for format in formats() if format.name == name), None)
        if known is not None and name in _WHEELS and known.readable and not known.in_pillow:
            return _WHEELS[known.name](data)
        try:
            return pillow.open_image(data, allowed_for(data, key), turbo=decoder == "turbo")
        except UnidentifiedImageError:
            if name == "JPEG" and jpeg.is_deep(data):
                return pillow.open_deep_jpeg(data)
            if name == "TIFF":
                return tiff.open_tiff(data)
            raise


def _check(size: Size, max_pixels: int) -> None:
    height, width = size
    if height < 1 or width < 1:
        raise ImageError(f"the image has no pixels: {width} x {height}")
    if height * width > max_pixels:
        raise ImageError(
            f"the image is {width} x {height} = {height * width:,} pixels, the limit is "
            f"{max_pixels:,} (`max_pixels`)"
        )


@contextmanager
def _translated(data: bytes) -> Iterator[None]:
    """Translate whatever a decoder raises on bad data to an ImageError with a reason."""
    try:
        yield
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(explain(data)) from None
    except MemoryError:
        raise ImageError("not enough memory to decode the image") from None
    except Exception as error:
        # Fuzzing found OSError, SyntaxError, ValueError, struct.error, IndexError, KeyError,
        # zlib.error and more. The list is open-ended, and only decoders run inside this block.
        raise ImageError(_reason(error)) from None


def _reason(error: Exception) -> str:
    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and text.endswith("not available"):
        library = {"zip": "zlib", "jpeg": "libjpeg"}
        codec = text.removeprefix("decoder ").removesuffix(" not available")
        return (
            f"compressed with {codec}: that needs a Pillow built with {library.get(codec, codec)}"
        )
    if "truncated" in text.lower() or isinstance(error, EOFError):
        return f"truncated image: {text}"
    return f"damaged image: {text}"
