"""The cells that PointRend computes, for a made-up object; second_stages.py saves the figure.

The object is a smooth shape whose logits are known everywhere, so that each step can choose its 784
least certain cells as the method does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scripts.figures.contract import BLUE, GREY, ORANGE, Picture
from scripts.figures.diagrams import arrow, cells, label

SIDE = 180  # px of a drawn mask
POINTS = 784


def logits(side: int) -> NDArray[np.float64]:
    """Of a shape with three bays, at the centres of side x side cells; 0 on its outline."""
    y, x = (np.mgrid[:side, :side] + 0.5) / side * 2 - 1
    turn = np.arctan2(y, x)
    radius = 0.66 + 0.16 * np.cos(3 * turn) + 0.04 * np.sin(11 * turn)
    found: NDArray[np.float64] = radius - np.hypot(x, y)
    return found


def least_certain(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The POINTS cells whose values are nearest to 0."""
    chosen = np.zeros(values.size, dtype=np.bool_)
    chosen[np.argsort(np.abs(values).ravel(), kind="stable")[:POINTS]] = True
    return chosen.reshape(values.shape)


def figure() -> Picture:
    """The coarse mask, the grid of 28 x 28, and the chosen cells of two of the three doublings."""
    picture = Picture(860, 262)
    steps = (
        (7, "coarse mask,\n7 x 7 cells"),
        (28, "every point of\n28 x 28"),
        (56, "784 of 3,136 points,\nnear the outline"),
        (224, "784 of 50,176 points,\nthe last of three steps"),
    )
    for number, (side, words) in enumerate(steps):
        x, y = 14 + 214 * number, 14
        values = logits(side)
        cells(picture, x, y, SIDE, values > 0, "#cfe3f2")
        if side == 28:
            cells(picture, x, y, SIDE, np.indices(values.shape).sum(0) % 2 == 0, "#d55e0066")
        elif side > 28:
            cells(picture, x, y, SIDE, least_certain(values), ORANGE)
        picture.box(x, y, SIDE, SIDE, stroke=BLUE)
        label(picture, x + SIDE / 2, y + SIDE + 28, words, colour=GREY)
        if number:
            arrow(picture, (x - 30, y + SIDE / 2), (x - 5, y + SIDE / 2))
    return picture
