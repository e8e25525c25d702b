"""Convert every colour mode of PIL to RGB.

- Transparent pixels are blended with white, as in a browser.
- Sixteen bits are scaled by their range, see `segcli.images.depth`.
- 32-bit integers from a 16-bit format (PNG, PGM, JPEG 2000) or within 0..65535 count as sixteen
  bits. Other 32-bit integers, and floats outside [0, 1], have no defined white: the smallest
  value of the image becomes black, the largest white; a single value becomes black.
- Floats within [0, 1] are scaled by 255; NaN is black, and infinities are black or white.
- Colour profiles are applied elsewhere, see `segcli.images.color`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as PilImage

from segcli.images.depth import eight_bits, shallow

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TIFF_PHOTOMETRIC = 262
_WHITE_IS_ZERO = 0
_SIXTEEN_BIT_FORMATS = frozenset({"PNG", "PPM", "JPEG2000"})
_WITH_ALPHA = frozenset({"RGBA", "LA", "PA", "La", "RGBa"})
_D50_WHITE = (0.9642, 1.0, 0.8251)
_XYZ_D50_TO_SRGB = (
    (3.1338561, -1.6168667, -0.4906146),
    (-0.9787684, 1.9161415, 0.0334540),
    (0.0719453, -0.2289914, 1.4052427),
)


def to_rgb(
    image: PilImage.Image, warnings: list[str] | None = None, *, stretched: bool = False
) -> PilImage.Image:
    """Convert a loaded image of any mode to mode RGB of the same size.

    `stretched`: sixteen bits have already been scaled by the depth that the file states. A warning
    is appended if the depth is taken from the values.
    """
    found: list[str] = [] if warnings is None else warnings
    mode = image.mode
    if mode == "RGB" and "transparency" not in image.info:
        return image
    if mode in ("I", "F") or mode.startswith("I;16"):
        return PilImage.fromarray(_scaled(image, found, 16 if stretched else None)).convert("RGB")
    if mode == "LAB":
        # PIL exports a and b as signed bytes; an offset of 128 makes them unsigned.
        lab = np.array(image)
        lab[..., 1:] ^= 128
        return PilImage.fromarray(_lab_to_rgb(lab))
    if mode in _WITH_ALPHA or "transparency" in image.info:
        return _over_white(image)
    return image.convert("RGB")


def _over_white(image: PilImage.Image) -> PilImage.Image:
    if image.mode == "PA" or (image.mode == "P" and "transparency" in image.info):
        image = image.convert("RGBA")
    # Premultiplied modes can be converted to RGBA only through their counterpart.
    image = image.convert({"La": "LA", "RGBa": "RGBA"}.get(image.mode, "RGBA")).convert("RGBA")
    if image.getchannel("A").getextrema()[0] == 255:
        return image.convert("RGB")
    white = PilImage.new("RGBA", image.size, (255, 255, 255, 255))
    return PilImage.alpha_composite(white, image).convert("RGB")


def _scaled(image: PilImage.Image, warnings: list[str], white: int | None) -> NDArray[np.uint8]:
    """Convert grey values of more than eight bits to uint8 (h, w), by the rules of this module."""
    if image.mode.startswith("I;16"):
        sixteen: NDArray[np.uint16] = np.asarray(image).astype(np.uint16, copy=False)
        tags = getattr(image, "tag_v2", {})
        if tags.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO:
            sixteen = np.invert(sixteen)
        return _from_sixteen(sixteen, warnings, white)
    values = np.asarray(image)
    low, high = (float(v) for v in (values.min(), values.max()))
    if image.mode == "I":
        if image.format in _SIXTEEN_BIT_FORMATS or (low >= 0 and high <= 65535):
            return _from_sixteen(values.clip(0, 65535).astype(np.uint16), warnings, white)
        return _stretched(values.astype(np.float64), low, high)
    if not np.isfinite([low, high]).all():
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    return _stretched(values.astype(np.float64), low, high)


def _from_sixteen(
    values: NDArray[np.uint16], warnings: list[str], depth: int | None
) -> NDArray[np.uint8]:
    return shallow(values, warnings) if depth is None else eight_bits(values, depth)


def _stretched(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.uint8]:
    """low -> 0, high -> 255; works in place on `values`."""
    if high <= low:
        return np.zeros(values.shape, np.uint8)
    np.nan_to_num(values, copy=False, nan=low, posinf=high, neginf=low)
    # Halved first, because the difference of two floats near the limit overflows.
    values /= 2
    values -= low / 2
    values *= 255 / (high / 2 - low / 2)
    return np.rint(values, out=values).clip(0, 255).astype(np.uint8)


def _lab_to_rgb(lab: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """CIE L*a*b* (D50), uint8 (h, w, 3) with a and b offset by 128 -> sRGB, same shape."""
    rows = max(1, 2**20 // max(1, lab.shape[1]))  # bounds the float copies to tens of megabytes
    out = np.empty(lab.shape, np.uint8)
    for top in range(0, lab.shape[0], rows):
        part = lab[top : top + rows].astype(np.float32)
        fy = (part[..., 0] * (100 / 255) + 16) / 116
        fx = fy + (part[..., 1] - 128) / 500
        fz = fy - (part[..., 2] - 128) / 200
        f = np.stack([fx, fy, fz], axis=-1)
        xyz = np.where(f > 6 / 29, f**3, (f - 16 / 116) * (108 / 841))
        xyz *= np.array(_D50_WHITE, np.float32)
        linear = (xyz @ np.array(_XYZ_D50_TO_SRGB, np.float32).T).clip(0, 1)
        srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
        out[top : top + rows] = np.rint(srgb * 255).clip(0, 255).astype(np.uint8)
    return out
