"""Labels with name and score next to objects, scaled with the picture, without overlaps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageDraw, ImageFont

from segcli.viz.palette import Colour, ink_on

Rect = tuple[float, float, float, float]  # xyxy px

_SMALLEST = 11  # px: below that nobody reads
_SHARE = 0.024  # of the picture's shorter side
_MOST_HIDDEN = 0.15  # of a label's area that others may share


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
    """The labels of one picture, each placed where it hides least: other labels first of all, then
    small objects. `boxes` (xyxy px) are those of all objects."""

    def __init__(
        self, picture: PilImage.Image, boxes: Sequence[Rect], *, size: int | None = None
    ) -> None:
        self._draw = ImageDraw.Draw(picture)
        self._limits = picture.size
        self._size = size or text_size(*picture.size)
        self._font = font(self._size)
        self._boxes = np.array(boxes, float).reshape(-1, 4)
        self._taken = np.empty((0, 4))

    def add(self, texts: Sequence[str], box: Rect, colour: Colour) -> None:
        """Write the first of `texts` that finds room at the object's `box`, on a plate of its
        colour; nothing where none does: one label on another says less than none."""
        pad = max(1, self._size // 6)
        for text in texts:
            if not text:
                continue
            left, _, right, _ = self._draw.textbbox((0, 0), text, font=self._font)
            plate = (right - left + 2 * pad, self._size + 2 * pad)
            hidden, rect = self._best(box, plate)
            if hidden > _MOST_HIDDEN:
                continue
            self._taken = np.vstack([self._taken, rect])
            self._draw.rounded_rectangle(rect, radius=pad, fill=colour)
            middle = (rect[0] + pad - left, rect[1] + plate[1] / 2)
            self._draw.text(middle, text, fill=ink_on(colour), font=self._font, anchor="lm")
            return

    def _best(self, box: Rect, plate: tuple[float, float]) -> tuple[float, Rect]:
        """(share of the plate that lies on other labels, place)."""
        places = np.array(self._places(box, plate))
        rects = np.concatenate([places, places + plate], axis=1)
        hidden = _shared(rects, self._taken).sum(axis=1) / (plate[0] * plate[1])
        # Of a small object a label hides much, of a large one nothing that matters.
        sizes = np.maximum((self._boxes[:, 2:] - self._boxes[:, :2]).prod(axis=1), 1)
        covered = (_shared(rects, self._boxes) / sizes).clip(0, 1).sum(axis=1)
        best = int(np.argmin(8 * hidden + covered + 0.04 * np.arange(len(rects))))
        x0, y0, x1, y1 = rects[best].tolist()
        return float(hidden[best]), (x0, y0, x1, y1)

    def _places(self, box: Rect, plate: tuple[float, float]) -> list[tuple[float, float]]:
        """Above the box, in its corners, below it, beside it, further down: best first, inside."""
        x0, y0, x1, y1 = box
        wide, tall = plate
        wished = [
            (x0, y0 - tall),
            (x1 - wide, y0 - tall),
            (x0, y1),
            (x1 - wide, y1),
            (x1, y0),
            (x0 - wide, y0),
            (x0, y0),
            (x1 - wide, y0),
            (x0, y1 - tall),
            *((x0, y0 + row * tall) for row in range(1, 4)),
        ]
        most_x, most_y = self._limits[0] - wide, self._limits[1] - tall
        return [(max(0, min(x, most_x)), max(0, min(y, most_y))) for x, y in wished]


def _shared(rects: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """px (n, m) that each of `rects` (n, 4) shares with each of `others` (m, 4), xyxy."""
    one, other = rects[:, None], others[None]
    sides = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])
    shared: NDArray[np.float64] = sides.clip(0).prod(axis=-1)
    return shared


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
