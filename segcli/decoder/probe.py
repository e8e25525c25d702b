"""What the header of an encoded image says, without decoding its pixels."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image as PilImage

from segcli.decoder import _orientation, _silence_pil, _size, _swapped, _translated
from segcli.decoder.format import allowed_for

_TAKEN, _EXIF_BLOCK, _CHANGED = 0x9003, 0x8769, 0x0132


@dataclass(frozen=True, slots=True)
class Header:
    """`height`, `width` px upright by EXIF; `format` as PIL names it; `taken` as EXIF has it."""

    height: int
    width: int
    format: str
    taken: str | None


def probe(data: bytes, *, key: str) -> Header:
    """Raises ImageError when it is no image of a known format."""
    _silence_pil()
    with (
        _translated(data),
        PilImage.open(io.BytesIO(data), formats=allowed_for(data, key)) as image,
    ):
        height, width = _swapped(_size(image), _orientation(image))
        return Header(height, width, image.format or "", _taken(image))


def _taken(image: PilImage.Image) -> str | None:
    try:
        exif = image.getexif()
        value = exif.get_ifd(_EXIF_BLOCK).get(_TAKEN) or exif.get(_CHANGED)
    except Exception:  # damaged EXIF makes PIL raise whatever its parser trips over
        return None
    return value.strip("\x00 ") or None if isinstance(value, str) else None
