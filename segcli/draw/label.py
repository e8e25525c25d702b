"""Names and scores written beside objects, sized with the picture, not on top of one another."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from PIL import Image as PilImage
from PIL import ImageDraw, ImageFont

from segcli.draw.palette import Colour, ink_on

Rect = tuple[float, float, float, float]  # xyxy px

_SMALLEST = 11  # px: below that nobody reads
_SHARE = 0.024  # of the picture's shorter side


def text_size(width: int, height: int) -> int:
    """px, for a picture of that size."""
    return max(_SMALLEST, round(_SHARE * min(width, height)))


@lru_cache(maxsize=16)
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """DejaVu Sans, which matplotlib brings along: Latin, Greek, Cyrillic, Arabic and symbols."""
    spec = find_spec("matplotlib")
    if spec is not None and spec.origin is not None:
        path = Path(spec.origin).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf"
        if path.is_file():
            return ImageFont.truetype(str(path), size)
    return ImageFont.load_default()


class Labels:
    """The labels of one picture; each is placed where it hides least of those before it."""

    def __init__(self, picture: PilImage.Image, *, size: int | None = None) -> None:
        self._draw = ImageDraw.Draw(picture)
        self._limits = picture.size
        self._size = size or text_size(*picture.size)
        self._font = font(self._size)
        self._taken: list[Rect] = []

    def add(self, text: str, box: Rect, colour: Colour) -> None:
        """Write `text` at the object's `box` (xyxy px), on a plate of its colour."""
        left, top, right, bottom = self._draw.textbbox((0, 0), text, font=self._font)
        pad = max(1, self._size // 6)
        plate = (right - left + 2 * pad, self._size + 2 * pad)
        x, y = min(self._places(box, plate), key=lambda place: self._cost(place, plate))
        rect = (x, y, x + plate[0], y + plate[1])
        self._taken.append(rect)
        self._draw.rounded_rectangle(rect, radius=pad, fill=colour)
        middle = (x + pad - left, y + plate[1] / 2)
        self._draw.text(middle, text, fill=ink_on(colour), font=self._font, anchor="lm")

    def _places(self, box: Rect, plate: tuple[float, float]) -> list[tuple[float, float]]:
        """Above the box, in its corners, below it, and further down: best first, all inside."""
        x0, y0, x1, y1 = box
        wide, tall = plate
        wished = [
            (x0, y0 - tall),
            (x0, y0),
            (x1 - wide, y0 - tall),
            (x1 - wide, y0),
            (x0, y1),
            (x0, y1 - tall),
            (x1 - wide, y1),
            *((x0, y0 + row * tall) for row in range(1, 5)),
        ]
        most_x, most_y = self._limits[0] - wide, self._limits[1] - tall
        return [(max(0, min(x, most_x)), max(0, min(y, most_y))) for x, y in wished]

    def _cost(self, place: tuple[float, float], plate: tuple[float, float]) -> float:
        """The area hidden of other labels, px."""
        x0, y0 = place
        x1, y1 = x0 + plate[0], y0 + plate[1]
        return sum(
            max(0.0, min(x1, right) - max(x0, left)) * max(0.0, min(y1, bottom) - max(y0, top))
            for left, top, right, bottom in self._taken
        )


def fitted(text: str, width: float, size: int) -> str:
    """The text, its middle left away where it is wider than `width` px in that size."""
    measure = font(size).getlength
    if measure(text) <= width:
        return text
    keep = len(text)
    while keep > 1 and measure(_cut(text, keep)) > width:
        keep = max(1, keep * 9 // 10 if keep > 20 else keep - 1)
    return _cut(text, keep)


def _cut(text: str, keep: int) -> str:
    return text[: keep // 2] + "…" + text[len(text) - (keep - keep // 2) :]


def printable(text: str) -> str:
    """Without line breaks and control characters, which would leave the plate."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def widest(texts: Sequence[str], size: int) -> float:
    """px that the widest of the texts takes."""
    return max((font(size).getlength(text) for text in texts), default=0.0)
