"""Encoded bytes in, RGB pixels out, through PIL: the only place that knows an image format.

What cannot be decoded whole is an ImageError that says why: no half-grey picture, no crash, no
warning. Damage in the middle of a JPEG that leaves its length intact passes every decoder,
this one too.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
from PIL import Image as PilImage
from PIL import UnidentifiedImageError, features
from PIL import __version__ as pil_version

from segcli.errors import ImageError
from segcli.images import jpeg
from segcli.images.format import Format, allowed_for, explain, formats, raw_thumbnail
from segcli.images.rgb import to_rgb
from segcli.types import Image, Size

__all__ = ["MAX_PIXELS", "RULES", "Decoder", "Format", "decode", "flavour", "formats", "rule"]

MAX_PIXELS = 200_000_000
Decoder = Literal["pil", "torchvision"]
AtLeast = Callable[[Size], Size]

RULES = {
    "full": "every pixel is decoded",
    "dct": "JPEGs are decoded at 1/2, 1/4 or 1/8 where that is still at least the content size",
}
"""What changes the pixels, hence a fact of the run that is compared when it is resumed. Which
library decodes JPEGs is none: its pixels are equal or it is not used."""

_ORIENTATION = 0x0112
_TRANSPOSE = {
    2: PilImage.Transpose.FLIP_LEFT_RIGHT,
    3: PilImage.Transpose.ROTATE_180,
    4: PilImage.Transpose.FLIP_TOP_BOTTOM,
    5: PilImage.Transpose.TRANSPOSE,
    6: PilImage.Transpose.ROTATE_270,
    7: PilImage.Transpose.TRANSVERSE,
    8: PilImage.Transpose.ROTATE_90,
}
_SWAPS_AXES = (5, 6, 7, 8)

# PIL warns at 89 megapixels and refuses at twice that; `decode` has its own limit.
PilImage.MAX_IMAGE_PIXELS = None


def rule(at_least: AtLeast | None) -> str:
    """The name in RULES of what `decode` does with this argument."""
    return "full" if at_least is None else "dct"


def flavour() -> str:
    """Which PIL this is, as in "Pillow-SIMD 12.1.1.post0 with libjpeg-turbo 2.1.5"."""
    name = "Pillow-SIMD" if ".post" in pil_version else "Pillow"
    turbo = features.version("libjpeg_turbo")
    return f"{name} {pil_version} with " + (f"libjpeg-turbo {turbo}" if turbo else "plain libjpeg")


def decode(
    data: bytes,
    *,
    key: str,
    max_pixels: int = MAX_PIXELS,
    at_least: AtLeast | None = None,
    decoder: Decoder = "pil",
    opened: Callable[[Size], None] | None = None,
) -> Image:
    """One encoded image -> uint8 (h, w, 3) RGB, upright by its EXIF orientation, first frame.

    `at_least` maps the original size to the smallest size that DCT-scaled JPEG decoding must still
    give; None decodes every pixel. `decoder` "torchvision" decodes ordinary upright JPEGs faster,
    to the same pixels, and loads torch. `opened` hears the original size before anything is
    decoded, so that a caller can wait for memory. Raises ImageError.
    """
    _silence_pil()
    with _translated(data):
        image = PilImage.open(io.BytesIO(data), formats=allowed_for(data, key))
    with image:
        _check(image, max_pixels)
        upright = _orientation(image) if image.format in ("JPEG", "MPO") else 1
        original = _swapped(_size(image), upright)
        if opened is not None:
            opened(original)
        if at_least is not None and image.format in ("JPEG", "MPO"):
            _draft(image, at_least(original), upright)
        elif decoder == "torchvision" and upright == 1 and _is_plain_jpeg(image):
            fast = jpeg.pixels(data)
            if fast is not None and fast.shape[:2] == original:
                return Image(key, fast, original)
        with _translated(data):
            return _load(image, key, original)


def _load(image: PilImage.Image, key: str, original: Size) -> Image:
    """Decodes, turns upright, makes RGB. TIFF's own loader has turned the image already."""
    image.load()
    orientation = _orientation(image)
    rgb = to_rgb(image)
    if orientation in _TRANSPOSE:
        rgb = rgb.transpose(_TRANSPOSE[orientation])
    pixels = np.array(rgb)  # a copy that may be written: torch warns of the other kind
    if image.format not in ("JPEG", "MPO"):
        original = (pixels.shape[0], pixels.shape[1])
    return Image(key, pixels, original)


def _size(image: PilImage.Image) -> Size:
    return image.height, image.width


def _swapped(size: Size, orientation: int) -> Size:
    return size[::-1] if orientation in _SWAPS_AXES else size


def _check(image: PilImage.Image, max_pixels: int) -> None:
    """Refuses, before anything is decoded, what is too large or not the picture itself."""
    height, width = _size(image)
    if height < 1 or width < 1:
        raise ImageError(f"the image has no pixels: {width} x {height}")
    if height * width > max_pixels:
        raise ImageError(
            f"the image is {width} x {height} = {height * width:,} pixels, the limit is "
            f"{max_pixels:,} (--max-pixels)"
        )
    if raw_thumbnail(image):
        raise ImageError(
            "a camera raw file, of which only a preview could be read; that needs LibRaw "
            "(develop it first: darktable, dcraw)"
        )


def _is_plain_jpeg(image: PilImage.Image) -> bool:
    # CMYK stays with PIL, whose rules for Adobe's inverted files are the reference here.
    return image.format in ("JPEG", "MPO") and image.mode in ("RGB", "L") and jpeg.agrees()


def _draft(image: PilImage.Image, least: Size, orientation: int) -> None:
    height, width = _swapped(least, orientation)
    image.draft(image.mode, (max(1, width), max(1, height)))


def _orientation(image: PilImage.Image) -> int:
    """1..8; 1 where the metadata are damaged, as viewers do."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF makes PIL raise whatever its parser trips over
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


@contextmanager
def _translated(data: bytes) -> Iterator[None]:
    """The door: whatever PIL raises on bad data becomes an ImageError with a reason."""
    try:
        yield
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(explain(data)) from None
    except MemoryError:
        raise ImageError("not enough memory to decode the image") from None
    except Exception as error:
        # Fuzzing finds OSError, SyntaxError, ValueError, struct.error, IndexError, KeyError,
        # zlib.error and more; the list has no end, and only PIL runs inside this block.
        raise ImageError(_reason(error)) from None


def _reason(error: Exception) -> str:
    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and text.endswith("not available"):
        library = {"libtiff": "libtiff", "jpeg2k": "OpenJPEG", "zip": "zlib", "jpeg": "libjpeg"}
        codec = text.removeprefix("decoder ").removesuffix(" not available")
        return (
            f"compressed with {codec}: that needs a Pillow built with {library.get(codec, codec)}"
        )
    if "truncated" in text.lower() or isinstance(error, EOFError):
        return f"truncated image: {text}"
    return f"damaged image: {text}"


def _silence_pil() -> None:
    """PIL's warnings on damaged metadata would reach the user's terminal.

    `warnings.catch_warnings` is not safe in threads, so one filter for PIL's modules is put in
    front, again wherever somebody (pytest) has since put others.
    """
    quiet = ("ignore", None, Warning)
    first = warnings.filters[0] if warnings.filters else None
    if first is None or first[:3] != quiet or str(getattr(first[3], "pattern", "")) != r"PIL\.":
        warnings.filterwarnings("ignore", module=r"PIL\.")
