"""Images that are already in memory: PIL images and arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PilImage

from segcli.errors import ImageError, UsageError
from segcli.images.opened import finish, orientation_in
from segcli.images.pillow import profile_of
from segcli.types import Image


def from_memory(picture: Any) -> Image:
    """Convert a PIL image, or uint8 (H, W, 3) RGB or (H, W) grey, to uint8 (H, W, 3) sRGB.

    A PIL image gives the same pixels as its file: rotated by its EXIF orientation, with its colour
    profile applied. The key is its file name, or "". Raises UsageError for anything else, and
    ImageError for a PIL image that cannot be decoded.
    """
    if isinstance(picture, PilImage.Image):
        return _from_pil(picture)
    array = np.asarray(picture)
    grey = array.ndim == 2
    if array.dtype != np.uint8 or not (grey or (array.ndim == 3 and array.shape[2] == 3)):
        raise UsageError(
            f"an array of {array.dtype} {array.shape} is not an image; expected a path, a PIL "
            f"image, or uint8 (height, width, 3) in RGB order"
        )
    if not array.size:
        raise UsageError(f"an array of shape {array.shape} has no pixels")
    pixels = np.repeat(array[..., None], 3, axis=2) if grey else np.array(array)
    return Image("", pixels, (array.shape[0], array.shape[1]))


def _from_pil(picture: PilImage.Image) -> Image:
    warnings: list[str] = []
    try:
        picture.load()
        orientation = orientation_in(picture.getexif())
        pixels = finish(picture, orientation, profile_of(picture), warnings)
    except Exception as error:  # PIL can raise anything here
        raise ImageError(f"the PIL image cannot be decoded: {error}") from error
    name = Path(str(getattr(picture, "filename", "") or "")).name
    return Image(name, pixels, (pixels.shape[0], pixels.shape[1]), tuple(warnings))
