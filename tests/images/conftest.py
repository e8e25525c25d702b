"""Encoded pictures made on the spot, by whichever library can write them here."""

import io
from collections.abc import Callable

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image as PilImage

TRANSPOSED = {
    2: PilImage.Transpose.FLIP_LEFT_RIGHT,
    3: PilImage.Transpose.ROTATE_180,
    4: PilImage.Transpose.FLIP_TOP_BOTTOM,
    5: PilImage.Transpose.TRANSPOSE,
    6: PilImage.Transpose.ROTATE_270,
    7: PilImage.Transpose.TRANSVERSE,
    8: PilImage.Transpose.ROTATE_90,
}
"""EXIF orientation -> what makes a stored picture upright."""


@pytest.fixture(scope="session")
def photograph() -> PilImage.Image:
    """A real photograph, 256 x 200, RGB."""
    from skimage.data import chelsea

    return PilImage.fromarray(chelsea()).resize((256, 200))


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """encode(image or array, "PNG", **PIL's options) -> bytes; without PIL where that cannot."""

    def encoded(image: PilImage.Image | np.ndarray, kind: str, **options: object) -> bytes:
        picture = image if isinstance(image, PilImage.Image) else PilImage.fromarray(image)
        if kind == "WEBP" and "append_images" in options:
            return animated_webp([picture, *options["append_images"]])
        if kind in ("WEBP", "JPEG2000", "AVIF", "JPEG XL"):
            return by_imagecodecs(np.asarray(picture), kind, **options)
        if kind == "TIFF" and options.get("compression"):
            return by_tifffile(np.asarray(picture), str(options["compression"]))
        file = io.BytesIO()
        picture.save(file, kind, **options)
        return file.getvalue()

    return encoded


def by_imagecodecs(
    pixels: np.ndarray, kind: str, *, lossless: bool = False, exif: PilImage.Exif | None = None
) -> bytes:
    """Lossless but for WEBP, which is so when asked for; EXIF in WEBP alone."""
    if kind == "JPEG2000":
        return bytes(imagecodecs.jpeg2k_encode(pixels, level=0))
    if kind == "AVIF":
        return bytes(imagecodecs.avif_encode(pixels, level=100))
    if kind == "JPEG XL":
        return bytes(imagecodecs.jpegxl_encode(pixels, lossless=True))
    if pixels.ndim == 2:
        pixels = np.stack([pixels] * 3, axis=-1)  # WebP has colour only
    plain = bytes(imagecodecs.webp_encode(pixels, level=80, lossless=lossless))
    if exif is None:
        return plain
    height, width = pixels.shape[:2]
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    extended = chunk(b"VP8X", b"\x08\0\0\0" + sides) + plain[12:] + chunk(b"EXIF", exif.tobytes())
    return b"RIFF" + (len(extended) + 4).to_bytes(4, "little") + b"WEBP" + extended


def animated_webp(frames: list[PilImage.Image]) -> bytes:
    width, height = frames[0].size
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    parts = [chunk(b"VP8X", b"\x02\0\0\0" + sides), chunk(b"ANIM", bytes(6))]
    for frame in frames:
        still = bytes(imagecodecs.webp_encode(np.asarray(frame), level=90))[12:]
        parts.append(chunk(b"ANMF", bytes(6) + sides + b"\x64\0\0\0" + still))
    body = b"WEBP" + b"".join(parts)
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def chunk(kind: bytes, body: bytes) -> bytes:
    return kind + len(body).to_bytes(4, "little") + body + b"\0" * (len(body) & 1)


def by_tifffile(pixels: np.ndarray, compression: str) -> bytes:
    name = {"tiff_lzw": "lzw", "tiff_adobe_deflate": "adobe_deflate"}.get(compression, compression)
    file = io.BytesIO()
    kind = "rgb" if pixels.ndim == 3 else "minisblack"
    tifffile.imwrite(file, pixels, compression=name, photometric=kind)
    return file.getvalue()
