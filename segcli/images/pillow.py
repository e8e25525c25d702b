"""Formats that Pillow decodes, opened without its limit on sizes, which segcli checks itself.

JPEGs are decoded by simplejpeg if it reports no problem, and by Pillow otherwise.
"""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as PilImage
from PIL import UnidentifiedImageError

from segcli.errors import ImageError
from segcli.images import codecs, headers, jpeg, tiff
from segcli.images.opened import (
    Opened,
    finish,
    in_srgb,
    orientation_in,
    parsed_exif,
    swapped,
    turned,
)
from segcli.types import Size

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PLAIN = ("RGB", "L")  # PIL decodes CMYK, because it has rules for Adobe's inverted files


def identify(data: bytes, names: tuple[str, ...]) -> PilImage.Image:
    """PIL's image in the first of the formats that accepts the data; nothing is decoded.

    As `PIL.Image.open`, but without its check of the size, which is a setting of the whole process;
    `segcli.images.decode` has its own limit. Raises UnidentifiedImageError.
    """
    file, prefix = io.BytesIO(data), data[:16]
    for name in names:
        factory, accept = PilImage.OPEN[name]
        if accept is not None and accept(prefix) is not True:
            continue  # a string states the missing library
        file.seek(0)
        try:
            return factory(file, "")
        except (SyntaxError, IndexError, TypeError, struct.error):
            continue  # PIL treats these as "another format"
    raise UnidentifiedImageError


def open_image(data: bytes, names: tuple[str, ...], *, turbo: bool) -> Opened:
    """Open with Pillow, or with another reader if Pillow cannot read it or would cut bits."""
    image = identify(data, names)
    if image.format in ("JPEG", "MPO") and jpeg.is_deep(data):
        return open_deep_jpeg(data)
    if image.format in ("JPEG", "MPO"):
        return _open_jpeg(image, data, turbo=turbo)
    deep = any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))
    if image.format == "TIFF":
        if raw_thumbnail(image):
            raise ImageError(tiff.RAW)
        if not tiff.is_plain(image):
            return tiff.open_tiff(data)
    elif image.format == "JPEG2000" and headers.jpeg2000(data).depth != 8:
        return codecs.open_jpeg2000(data)
    elif image.format == "PNG" and deep and not image.mode.startswith("I"):
        return _open_deep_png(image, data)
    return _open_other(image, data)


def _open_other(image: PilImage.Image, data: bytes) -> Opened:
    size = image.height, image.width
    # PIL scales the samples of a PGM by its stated maximum.
    stated = any("ppm" in str(tile[0]) for tile in getattr(image, "tile", ()))

    def decode(_least: Size | None, warnings: list[str]) -> NDArray[np.uint8]:
        image.load()
        # The TIFF loader has already rotated the image, and PNG may have EXIF at its end.
        orientation = orientation_in(_exif_of(image))
        return finish(image, orientation, profile_of(image), warnings, stretched=stated)

    def exif() -> PilImage.Exif:
        # For the EXIF of a PNG, PIL decodes the whole picture, because it may follow the pixels.
        return _exif_of(image) if image.format != "PNG" else parsed_exif(_text(image, "exif"))

    first = orientation_in(exif())
    return Opened(image.format or "", swapped(size, first), decode, exif, _frames(image, data))


def _open_jpeg(image: PilImage.Image, data: bytes, *, turbo: bool) -> Opened:
    exif = _exif_of(image)
    orientation = orientation_in(exif)
    size, profile = (image.height, image.width), profile_of(image)
    plain = turbo and image.mode in _PLAIN and jpeg.agrees()

    def decode(least: Size | None, warnings: list[str]) -> NDArray[np.uint8]:
        least = None if least is None else swapped(least, orientation)
        if plain:
            fast = jpeg.pixels(data, least or (0, 0))
            if fast is not None and (least is not None or fast.shape[:2] == size):
                return turned(in_srgb(fast, profile), orientation)
        if least is not None:
            image.draft(image.mode, (max(1, least[1]), max(1, least[0])))
        image.load()
        space = "CMYK" if image.mode == "CMYK" else "RGB"
        doubt = jpeg.complaint(data, colorspace=space) if turbo else None
        if doubt is not None:
            warnings.append(f"damaged: libjpeg reports {doubt!r}, so pixels may be wrong")
        return finish(image, orientation, profile, warnings)

    return Opened("JPEG", swapped(size, orientation), decode, lambda: exif, scales=True)


def open_deep_jpeg(data: bytes) -> Opened:
    """Open a JPEG of more than eight bits or a lossless one, which Pillow does not decode."""
    described, _ = headers.jpeg(data)

    def picture(warnings: list[str]) -> PilImage.Image:
        pixels, depth = jpeg.deep_pixels(data)
        return codecs.to_pil(pixels, depth, warnings)

    return codecs.opened("JPEG", described, picture)


def _open_deep_png(image: PilImage.Image, data: bytes) -> Opened:
    """For 16-bit colour, of which PIL would use only the upper byte."""

    def picture(warnings: list[str]) -> PilImage.Image:
        import imagecodecs

        return codecs.to_pil(imagecodecs.png_decode(data), 16, warnings)

    described = headers.Description(
        (image.height, image.width),
        orientation=None,
        exif=_text(image, "exif"),
        icc=profile_of(image),
        frames=_frames(image, data),
    )
    return codecs.opened("PNG", described, picture)


def raw_thumbnail(image: PilImage.Image) -> bool:
    """Whether PIL sees only the small preview inside a TIFF-based camera raw file (NEF, DNG)."""
    tags = getattr(image, "tag_v2", {})
    return tiff.is_raw(tags.get(tiff.SUBFILE, 0), tags)


def _frames(image: PilImage.Image, data: bytes) -> int:
    """The number of frames or pages; those of MPO and PSD files are previews or layers."""
    try:
        if image.format == "TIFF":
            return tiff.count_pages(data)
        if image.format == "GIF":
            # On a second image, because seeking to other frames changes the first one.
            return int(getattr(identify(data, ("GIF",)), "n_frames", 1))
        if image.format in ("PNG", "WEBP", "AVIF"):
            return int(getattr(image, "n_frames", 1))
    except Exception:  # damage after the first frame, which is the one that is read
        return 1
    return 1


def profile_of(image: PilImage.Image) -> bytes:
    return _text(image, "icc_profile")


def _text(image: PilImage.Image, name: str) -> bytes:
    value = image.info.get(name)
    return value if isinstance(value, bytes) else b""


def _exif_of(image: PilImage.Image) -> PilImage.Exif:
    try:
        return image.getexif()
    except Exception:  # PIL can raise anything on damaged EXIF
        return PilImage.Exif()
