"""A contact sheet: many small pictures, each with its name and its objects."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageDraw

from segcli.viz.label import fitted, font, printable
from segcli.viz.palette import Colour
from segcli.viz.picture import ShownMask

CELL = (360, 270)  # (width, height) px of the largest thumbnail
LIMIT = 400
"""The maximum number of pictures on a sheet; more make a file that is too large to open."""

_GAP, _TEXT = 16, 15  # px
_PAPER, _INK, _FAINT, _MAT = (250, 250, 250), (28, 28, 30), (105, 105, 110), (232, 232, 235)


Piece = tuple[Colour, str]
"""One thing of a caption, with the colour that it has in the picture."""


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A picture of at most CELL px with the two lines below it."""

    picture: PilImage.Image
    title: str
    caption: tuple[Piece, ...]


def thumbnail(pixels: NDArray[np.uint8], key: str, masks: Sequence[ShownMask]) -> Thumbnail:
    """Of a drawn picture, uint8 (h, w, 3) or (h, w, 4)."""
    picture = PilImage.fromarray(pixels).convert("RGB")
    picture.thumbnail(CELL, PilImage.Resampling.BOX, reducing_gap=2)
    return Thumbnail(picture, printable(key), counted(masks))


def counted(masks: Sequence[ShownMask]) -> tuple[Piece, ...]:
    """As in "3 car", "1 person", the most frequent first; with verdicts "4 right", "1 missed"."""
    if any(shown.verdict for shown in masks):
        words = {"true": "right", "false": "wrong", "missed": "missed"}
        verdicts = Counter((words[one.verdict], one.colour) for one in masks if one.verdict)
        order = list(words.values())
        counts = sorted(verdicts.items(), key=lambda entry: order.index(entry[0][0]))
    else:
        counts = Counter((printable(one.mask.category), one.colour) for one in masks).most_common()
    return tuple((colour, f"{n} {name}") for (name, colour), n in counts)


def sheet(thumbnails: Sequence[Thumbnail]) -> NDArray[np.uint8]:
    """uint8 (h, w, 3): about as wide as a screen, rows from the left."""
    columns = columns_for(len(thumbnails))
    rows = -(-len(thumbnails) // columns)
    line = round(_TEXT * 1.4)
    step = (CELL[0] + _GAP, CELL[1] + 2 * line + 6 + _GAP)
    page = PilImage.new("RGB", (columns * step[0] + _GAP, rows * step[1] + _GAP), _PAPER)
    canvas = ImageDraw.Draw(page)
    for number, shown in enumerate(thumbnails):
        x = _GAP + number % columns * step[0]
        y = _GAP + number // columns * step[1]
        canvas.rectangle((x, y, x + CELL[0] - 1, y + CELL[1] - 1), fill=_MAT)
        left = x + (CELL[0] - shown.picture.width) // 2
        page.paste(shown.picture, (left, y + (CELL[1] - shown.picture.height) // 2))
        y += CELL[1] + 6
        canvas.text((x, y), fitted(shown.title, CELL[0], _TEXT), fill=_INK, font=font(_TEXT))
        _caption(canvas, x, y + line, shown.caption)
    return np.asarray(page)


def columns_for(count: int) -> int:
    """About as wide as a screen, and with few places left empty."""
    ideal = min(8.0, math.sqrt(count * 16 / 9))

    def cost(columns: int) -> float:
        empty = -count % columns
        return abs(math.log(columns / ideal)) + empty / (2 * count)

    return min(range(1, 9), key=cost)


def _caption(canvas: ImageDraw.ImageDraw, x: int, y: int, pieces: Sequence[Piece]) -> None:
    """In one line, each piece after a square of its colour; what does not fit is left away."""
    size, right = _TEXT - 2, x + CELL[0]
    if not pieces:
        canvas.text((x, y), "nothing", fill=_FAINT, font=font(size))
    for colour, text in pieces:
        mark, room = x + size, right - x - 2 * size
        if room < 3 * size:
            canvas.text((x, y), "…", fill=_FAINT, font=font(size))
            return
        shown = fitted(text, room, size)
        canvas.rounded_rectangle((x, y + 3, mark - 3, y + size), 2, colour, _FAINT)
        canvas.text((mark + 2, y), shown, fill=_FAINT, font=font(size))
        x = round(mark + 2 + font(size).getlength(shown)) + size
