"""Apply embedded ICC profiles: pixels are converted to sRGB, on which models are trained.

Phones write Display P3, cameras Adobe RGB. Little CMS (in imagecodecs) converts the pixels with the
relative colorimetric intent, as browsers do.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NEGLIGIBLE = 2  # levels of 255 on a grid of colours; such a profile counts as sRGB
_SPACES = {b"RGB ": 3, b"CMYK": 4}
_RELATIVE = 1  # colorimetric, the intent
_COLOUR_SPACE_AT = 16  # bytes into the profile's header


def space_of(profile: bytes) -> int | None:
    """The channels of a profile for RGB (3) or CMYK (4) pixels; None for any other."""
    return _SPACES.get(profile[_COLOUR_SPACE_AT : _COLOUR_SPACE_AT + 4])


@lru_cache(maxsize=64)
def is_srgb(profile: bytes) -> bool:
    """Whether applying an RGB profile changes almost nothing."""
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(27, 27, 3)
    changed = to_srgb(grid, profile)
    return changed is None or bool(np.abs(changed.astype(int) - grid).max() <= _NEGLIGIBLE)


def to_srgb(pixels: NDArray[np.uint8], profile: bytes) -> NDArray[np.uint8] | None:
    """uint8 (h, w, 3) RGB or (h, w, 4) CMYK -> (h, w, 3) sRGB; None for a damaged profile."""
    import imagecodecs

    try:
        converted: NDArray[np.uint8] = imagecodecs.cms_transform(
            np.ascontiguousarray(pixels),
            profile,
            _srgb(),
            colorspace="cmyk" if pixels.shape[2] == 4 else "rgb",
            outcolorspace="rgb",
            intent=_RELATIVE,
        )
    except (RuntimeError, ValueError):  # viewers ignore such a profile, too
        return None
    return converted


@lru_cache(maxsize=1)
def _srgb() -> bytes:
    import imagecodecs

    profile: bytes = imagecodecs.cms_profile("srgb")
    return profile
