"""Blocks, arrows and small masks for diagrams of networks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scripts.figures.contract import BLUE, GREY, INK, ORANGE, Picture

LINE = 17  # px between two lines of text
LIGHT = {INK: "#f4f4f4", ORANGE: "#fdeee2", BLUE: "#e3eff8"}


def block(
    picture: Picture, x: float, y: float, w: float, words: str, *, colour: str = INK, h: float = 44
) -> None:
    """A rectangle around (x, y), its centre left, with lines of text; orange marks what a method
    adds to Mask R-CNN."""
    picture.box(x, y - h / 2, w, h, fill=LIGHT[colour], stroke=colour, rx="4")
    label(picture, x + w / 2, y, words, colour=INK)


def label(
    picture: Picture, x: float, y: float, words: str, *, colour: str = INK, anchor: str = "middle"
) -> None:
    """Lines of text, centred on y."""
    lines = words.split("\n")
    for number, line in enumerate(lines):
        below = (number - (len(lines) - 1) / 2) * LINE
        picture.text(x, y + below + 5, line, colour, anchor)


def arrow(picture: Picture, *points: tuple[float, float], colour: str = GREY) -> None:
    """A line through the points with a head at the last one."""
    picture.line(*points, stroke=colour, stroke_width="1.5")
    (x0, y0), (x1, y1) = points[-2:]
    length = max(abs(x1 - x0), abs(y1 - y0))
    dx, dy = 7 * (x1 - x0) / length, 7 * (y1 - y0) / length
    left, right = (x1 - dx - dy / 2, y1 - dy + dx / 2), (x1 - dx + dy / 2, y1 - dy - dx / 2)
    picture.line(left, (x1, y1), right, stroke=colour, stroke_width="1.5")


def cells(
    picture: Picture, x: float, y: float, side: float, chosen: NDArray[np.bool_], colour: str
) -> None:
    """The chosen cells of a square grid as one path, runs of a row as one rectangle."""
    step = side / len(chosen)
    path = []
    for row, line in enumerate(chosen):
        edges = np.flatnonzero(np.diff(np.concatenate(([0], line, [0]))))
        for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            path.append(f"M{start} {row}h{end - start}v1h{start - end}z")
    picture.parts.append(
        f'<path transform="translate({x:g} {y:g}) scale({step:.4f})" fill="{colour}" '
        f'd="{"".join(path)}"/>'
    )


def shades(
    picture: Picture, x: float, y: float, side: float, values: Sequence[Sequence[float]]
) -> None:
    """A square map of values of 0..1 as shades of blue."""
    step = side / len(values)
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            shade = round(255 - 150 * value)
            picture.box(
                round(x + j * step, 1), round(y + i * step, 1), round(step, 2), round(step, 2),
                fill=f"rgb({shade},{shade},255)", stroke="none",
            )  # fmt: skip
    picture.box(x, y, side, side, stroke=BLUE)
