"""Keypoints and the lines of their skeleton, as places in a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import ImageDraw

from segcli.keypoints import Skeleton
from segcli.store.image_masks import Keypoints
from segcli.viz.palette import Colour

SHOWN = 0.05
"""The least score of a keypoint that is drawn. A score is the probability of one cell among
thousands, so that it is small even for keypoints in plain sight."""

_HALO = (255, 255, 255)
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Figure:
    """What is drawn of an object, px of the picture."""

    points: Sequence[Point]
    lines: Sequence[tuple[Point, Point]]


def figure_of(
    keypoints: Keypoints | None, skeleton: Skeleton | None, scale: tuple[float, float]
) -> Figure:
    """The keypoints from the score SHOWN on and the lines between two of them; `scale` px of the
    picture for one of the image, for x and y. Nothing without keypoints."""
    places: dict[int, Point] = {
        index: ((x + 0.5) * scale[0], (y + 0.5) * scale[1])
        for index, (x, y, score) in enumerate(keypoints or ())
        if score >= SHOWN
    }
    lines = () if skeleton is None else skeleton.lines
    ends = [(places[a], places[b]) for a, b in lines if a in places and b in places]
    return Figure(list(places.values()), ends)


def draw_figure(canvas: ImageDraw.ImageDraw, figure: Figure, colour: Colour, width: int) -> None:
    """Lines `width` px wide, and dots, each with a light rim that parts them from the object."""
    rim, radius = max(1, width // 2), 1.5 * width
    for line in figure.lines:
        canvas.line(line, fill=_HALO, width=width + 2 * rim)
    for line in figure.lines:
        canvas.line(line, fill=colour, width=width)
    for x, y in figure.points:
        for colour_of_disc, r in ((_HALO, radius + rim), (colour, radius)):
            canvas.ellipse((x - r, y - r, x + r, y + r), fill=colour_of_disc)
