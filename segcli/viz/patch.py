"""Masks at the size of the picture, each as a small grey patch inside its box.

An RLE is expanded only inside its box, and shrunk with the picture; the frame is never filled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage

from segcli.masks import rle
from segcli.types import Size


@dataclass(frozen=True, slots=True)
class Patch:
    """`cover` uint8 (h, w): the share of each pixel inside the mask, 0..255; its first pixel is
    (x, y) of the picture. Empty when the mask has no pixel."""

    x: int
    y: int
    cover: NDArray[np.uint8]

    @property
    def inside(self) -> NDArray[np.bool_]:
        """The pixels at least half covered, bool (h, w)."""
        return self.cover >= 128


def patch_of(counts: bytes, image: Size, picture: Size) -> Patch:
    """The mask of an `image` (H, W) px, drawn into a `picture` (h, w) px of the same view.

    Raises UsageError for a damaged RLE.
    """
    x, y, crop = rle.decode_crop(counts, *image)
    if not crop.size:
        return Patch(0, 0, np.zeros((0, 0), np.uint8))
    if image == picture:
        cover = np.empty(crop.shape, np.uint8)
        return Patch(x, y, np.multiply(crop, np.uint8(255), out=cover))
    return _scaled(x, y, crop, image, picture)


def _scaled(x: int, y: int, crop: NDArray[np.bool_], image: Size, picture: Size) -> Patch:
    down, right = picture[0] / image[0], picture[1] / image[1]
    left, top = math.floor(x * right), math.floor(y * down)
    stop_x = min(picture[1], math.ceil((x + crop.shape[1]) * right))
    stop_y = min(picture[0], math.ceil((y + crop.shape[0]) * down))
    # What the patch covers of the image, as a box over the crop, which is padded to hold it.
    pad_x, pad_y = math.ceil(1 / right) + 1, math.ceil(1 / down) + 1
    grey = np.zeros((crop.shape[0] + 2 * pad_y, crop.shape[1] + 2 * pad_x), np.uint8)
    np.multiply(crop, np.uint8(255), out=grey[pad_y:-pad_y, pad_x:-pad_x])
    box = (
        left / right - x + pad_x,
        top / down - y + pad_y,
        min(stop_x / right - x + pad_x, grey.shape[1]),
        min(stop_y / down - y + pad_y, grey.shape[0]),
    )
    size = (max(1, stop_x - left), max(1, stop_y - top))
    shrunk = PilImage.fromarray(grey).resize(size, PilImage.Resampling.BOX, box=box)
    return Patch(left, top, np.asarray(shrunk))


def rims(inside: NDArray[np.bool_], *widths: int) -> list[NDArray[np.bool_]]:
    """Rings of a mask, each bool (h, w) and so many px wide, one inside the other from the
    outside in; the frame's border counts as outside."""
    rings = []
    for width in widths:
        left = _eroded(inside, width)
        rings.append(inside & ~left)
        inside = left
    return rings


def grown(inside: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """The mask and what lies within `width` px of it; bool (h + 2 width, w + 2 width)."""
    padded = np.pad(inside, 2 * width)
    return ~_eroded(~padded, width)[width:-width, width:-width] if width else inside


def _eroded(mask: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """Octagonal: a square and a diamond in turn, so that slanted lines are as wide as straight."""
    for step in range(width):
        h, w = mask.shape
        out = np.zeros((h + 2, w + 2), bool)
        out[1:-1, 1:-1] = mask
        straight = out[:-2, 1:-1] & out[2:, 1:-1] & out[1:-1, :-2] & out[1:-1, 2:] & mask
        if step % 2:
            straight &= out[:-2, :-2] & out[:-2, 2:] & out[2:, :-2] & out[2:, 2:]
        mask = straight
    return mask
