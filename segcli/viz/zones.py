"""Zones and lines on a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageDraw

from segcli.viz.label import font, printable, text_size
from segcli.viz.picture import line_width
from segcli.zones import Zone

Point = tuple[float, float]

_LIGHT, _DARK = (255, 255, 255), (20, 20, 22)
_DASH = 5  # line widths
_ARROW = 0.035  # of the picture's shorter side


def draw_zones(
    pixels: NDArray[np.uint8], zones: Sequence[Zone], *, labels: bool
) -> NDArray[np.uint8]:
    """The picture, uint8 (h, w, 3) RGB, with dashed outlines of the zones, and lines with an arrow
    in the direction of entries. They are black and white, because colours are of categories."""
    if not zones:
        return pixels
    picture = PilImage.fromarray(pixels)
    canvas, size = ImageDraw.Draw(picture), picture.size
    width = line_width((picture.height, picture.width))
    for zone in zones:
        for ring in (ring for polygon in zone.polygons for ring in polygon):
            path = _pixels(ring, size)
            _dashed(canvas, [*path, path[0]], width)
        if zone.is_line:
            path = _pixels(zone.line, size)
            _solid(canvas, path, width)
            for stroke in arrow(path, _ARROW * min(size)):
                _solid(canvas, stroke, width)
    if labels:
        for zone in zones:
            first = zone.line or zone.polygons[0][0]
            _name(canvas, printable(zone.name), _pixels(first, size), size)
    return np.asarray(picture)


def arrow(path: Sequence[Point], length: float) -> list[list[Point]]:
    """From the middle of a line to its right, seen along its way: the shaft and the head."""
    at = (len(path) - 2) // 2
    (x0, y0), (x1, y1) = path[at], path[at + 1]
    way = math.hypot(x1 - x0, y1 - y0) or 1.0
    dx, dy = (x1 - x0) / way, (y1 - y0) / way
    middle = (x0 + x1) / 2, (y0 + y1) / 2
    tip = middle[0] - dy * length, middle[1] + dx * length
    head = length / 3
    wings = [
        (tip[0] + dy * head + s * dx * head, tip[1] - dx * head + s * dy * head) for s in (1, -1)
    ]
    return [[middle, tip], [wings[0], tip, wings[1]]]


def _pixels(path: Sequence[Point], size: tuple[int, int]) -> list[Point]:
    """Shares of the frame as px of the picture, inside of it."""
    wide, tall = size
    return [(min(x * wide, wide - 1), min(y * tall, tall - 1)) for x, y in path]


def _solid(canvas: ImageDraw.ImageDraw, path: Sequence[Point], width: int) -> None:
    canvas.line(path, _DARK, width + 2, joint="curve")
    canvas.line(path, _LIGHT, width, joint="curve")


def _dashed(canvas: ImageDraw.ImageDraw, path: Sequence[Point], width: int) -> None:
    """White dashes on a dark line."""
    canvas.line(path, _DARK, width, joint="curve")
    dash = _DASH * width
    for (x0, y0), (x1, y1) in zip(path, path[1:], strict=False):
        length = math.hypot(x1 - x0, y1 - y0)
        for start in np.arange(0, length, 2 * dash).tolist():
            a, b = start / length, min(start + dash, length) / length
            ends = [(x0 + t * (x1 - x0), y0 + t * (y1 - y0)) for t in (a, b)]
            canvas.line(ends, _LIGHT, width)


def _name(
    canvas: ImageDraw.ImageDraw, text: str, path: Sequence[Point], size: tuple[int, int]
) -> None:
    """At the uppermost corner, inside the picture."""
    letters = font(text_size(*size))
    x, y = min(path, key=lambda point: (point[1], point[0]))
    left, top, right, bottom = canvas.textbbox((0, 0), text, font=letters)
    pad = max(1, (bottom - top) // 4)
    x = max(pad, min(x + pad, size[0] - (right - left) - 2 * pad))
    y = max(pad, min(y + pad, size[1] - (bottom - top) - 2 * pad))
    plate = (x - pad, y - pad, x + right - left + pad, y + bottom - top + pad)
    canvas.rectangle(plate, _DARK)
    canvas.text((x - left, y - top), text, _LIGHT, font=letters)
