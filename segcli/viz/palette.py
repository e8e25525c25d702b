"""One colour per category, the same in every picture, table and page.

The first eight were chosen by computation: of all saturated, mid-bright colours those whose
smallest distance (CIELAB) stays largest for normal sight and for protanopia, deuteranopia and
tritanopia (Machado 2009). Later categories get them lighter, then darker; nobody tells eighty
colours apart, so a label always stands beside the colour.
"""

from __future__ import annotations

Colour = tuple[int, int, int]  # RGB, 0..255

BASE: tuple[Colour, ...] = (
    (0x00, 0x77, 0xFF),  # blue
    (0xFF, 0x88, 0x00),  # orange
    (0x00, 0xE6, 0xB0),  # aqua
    (0xEE, 0x00, 0x44),  # red
    (0x99, 0x55, 0x99),  # purple
    (0xDD, 0xEE, 0x77),  # lime
    (0xFF, 0xAA, 0xFF),  # pink
    (0x22, 0x77, 0x33),  # green
)
TRUE: Colour = (0x00, 0x77, 0xFF)
FALSE: Colour = (0xFF, 0x66, 0x00)
MISSED: Colour = (0xFF, 0xE0, 0x33)
"""Right, wrong and missing, for the comparison with ground truth."""

_SHADES = (None, (255, 0.45), (0, 0.40))  # (mixed with grey value, share of it)


def colour_of(category_id: int) -> Colour:
    """By the data set's id of the category, so that it depends on nothing else."""
    index = category_id - 1  # ids of data sets begin with 1
    base = BASE[index % len(BASE)]
    shade = _SHADES[index // len(BASE) % len(_SHADES)]
    if shade is None:
        return base
    grey, share = shade
    red, green, blue = (round(c + (grey - c) * share) for c in base)
    return red, green, blue


def ink_on(colour: Colour) -> Colour:
    """Black or white, whichever is read better on `colour` (WCAG contrast)."""
    light = luminance(colour)
    return (0, 0, 0) if (light + 0.05) / 0.05 >= 1.05 / (light + 0.05) else (255, 255, 255)


def luminance(colour: Colour) -> float:
    """Relative luminance of sRGB, 0..1, as WCAG defines it."""
    red, green, blue = (_linear(c / 255) for c in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(value: float) -> float:
    result: float = value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
    return result


def as_hex(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
