"""The result of every format reader, and the last steps that all readers share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as PilImage

from segcli.images import color
from segcli.images.rgb import to_rgb
from segcli.types import Size

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ORIENTATION = 0x0112
# EXIF orientation -> (quarter turns anticlockwise, whether to mirror left to right afterwards)
_TURNS = {
    2: (0, True), 3: (2, False), 4: (2, True), 5: (3, True),
    6: (3, False), 7: (1, True), 8: (1, False),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Opened:
    """An image whose header has been read: `size` (h, w) px after rotation, `frames` or pages.

    `decode` returns rotated uint8 (h, w, 3) sRGB; it takes the smallest size (h, w) to which a JPEG
    may be scaled, or None, and appends warnings to the list. `exif` reads the EXIF when called.
    """

    format: str
    size: Size
    decode: Callable[[Size | None, list[str]], NDArray[np.uint8]]
    exif: Callable[[], PilImage.Exif]
    frames: int = 1
    scales: bool = False  # whether `decode` may return fewer pixels than `size`


def finish(
    image: PilImage.Image,
    orientation: int,
    profile: bytes,
    warnings: list[str],
    *,
    stretched: bool = False,
) -> NDArray[np.uint8]:
    """Convert a loaded image of any mode to rotated sRGB pixels in writable memory."""
    if image.mode == "CMYK" and color.space_of(profile) == 4:
        pixels = color.to_srgb(np.asarray(image), profile)
        if pixels is not None:
            return turned(pixels, orientation)
    # A copy, because torch warns about read-only memory.
    pixels = np.array(to_rgb(image, warnings, stretched=stretched))
    return turned(in_srgb(pixels, profile), orientation)


def in_srgb(pixels: NDArray[np.uint8], profile: bytes) -> NDArray[np.uint8]:
    """Apply an RGB profile to RGB pixels; without a relevant profile they are unchanged."""
    if color.space_of(profile) != 3 or color.is_srgb(profile):
        return pixels
    converted = color.to_srgb(pixels, profile)
    return pixels if converted is None else converted


def turned(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Rotate and mirror pixels by EXIF orientation 1..8; the result is contiguous."""
    turns, mirror = _TURNS.get(orientation, (0, False))
    upright = np.rot90(pixels, turns)
    return np.ascontiguousarray(upright[:, ::-1] if mirror else upright)


def swapped(size: Size, orientation: int) -> Size:
    return size[::-1] if orientation >= 5 else size


def orientation_in(exif: PilImage.Exif) -> int:
    """1..8; 1 if there is no valid orientation."""
    value = exif.get(_ORIENTATION, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def parsed_exif(data: bytes) -> PilImage.Exif:
    """Parse EXIF; empty if the metadata is damaged, as in image viewers."""
    exif = PilImage.Exif()
    try:
        exif.load(data)
    except Exception:  # PIL can raise anything on damaged EXIF
        return PilImage.Exif()
    return exif
