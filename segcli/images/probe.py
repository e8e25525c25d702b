"""Read the header of an encoded image without decoding its pixels."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image as PilImage

from segcli.images import open_image

_ORIENTATION, _SWAPS_AXES = 0x0112, (5, 6, 7, 8)
_TAKEN, _EXIF_BLOCK, _CHANGED, _MAKE, _MODEL = 0x9003, 0x8769, 0x0132, 0x010F, 0x0110


@dataclass(frozen=True, slots=True)
class Header:
    """`height`, `width` in px after EXIF rotation; `format` is PIL's name; `taken` as in EXIF;
    `camera` is EXIF's make and model; `turned`: EXIF swaps the stored sides."""

    height: int
    width: int
    format: str
    taken: str | None
    camera: str | None = None
    turned: bool = False


def probe(data: bytes, *, key: str) -> Header:
    """Raises ImageError if it is not an image of a known format."""
    image = open_image(data, key=key)
    exif = image.exif()
    turned = exif.get(_ORIENTATION) in _SWAPS_AXES
    return Header(*image.size, image.format, _taken(exif), _camera(exif), turned=turned)


def _taken(exif: PilImage.Exif) -> str | None:
    try:
        return _text(exif.get_ifd(_EXIF_BLOCK).get(_TAKEN) or exif.get(_CHANGED))
    except Exception:  # PIL can raise anything on damaged EXIF
        return None


def _camera(exif: PilImage.Exif) -> str | None:
    make, model = _text(exif.get(_MAKE)), _text(exif.get(_MODEL))
    if make and model and not model.lower().startswith(make.lower()):
        return f"{make} {model}"  # many models already begin with the make
    return model or make


def _text(value: object) -> str | None:
    return value.strip("\x00 ") or None if isinstance(value, str) else None
