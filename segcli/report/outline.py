"""Masks as vector outlines: an SVG path with few points that follows the edge of a mask."""

from __future__ import annotations

import contourpy
import numpy as np
from numpy.typing import NDArray

from segcli.viz.keypoints import Figure, Point
from segcli.viz.patch import Patch

SCALE = 2
"""Units of a path per px of the picture: coordinates are whole numbers, half px apart."""

_DOT = 5  # units: the radius of a keypoint
_TOLERANCE = 0.5  # px: how far the path may leave the rim
_LEAST = 2.0  # px: the area of a part that is drawn

Points = NDArray[np.float64]


def path_of(patch: Patch) -> str:
    """The "d" of an SVG path with fill-rule evenodd; empty for a mask too small to be seen."""
    if not patch.cover.size:
        return ""
    field = np.pad(patch.cover, 1).astype(np.float32)
    # Sample points are the centres of pixels, and the padding moved them by one.
    generator = contourpy.contour_generator(z=field, line_type=contourpy.LineType.Separate)
    offset = np.array([patch.x - 0.5, patch.y - 0.5])
    parts = (np.asarray(line) + offset for line in generator.lines(127.5))
    return "".join(_closed(simplified(p)) for p in parts if len(p) > 3 and area(p) >= _LEAST)


def figure_path(figure: Figure) -> str:
    """Keypoints as small circles, and the lines between them; a line has no area to be filled."""
    lines = (f"M{_at(a)}L{_at(b)}" for a, b in figure.lines)
    half = f"a{_DOT} {_DOT} 0 1 0"
    circle = f"{half} {2 * _DOT} 0{half} {-2 * _DOT} 0"
    dots = (f"M{_at((x - _DOT / SCALE, y))}{circle}" for x, y in figure.points)
    return "".join([*lines, *dots])


def _at(point: Point) -> str:
    return f"{round(point[0] * SCALE)} {round(point[1] * SCALE)}"


def _closed(points: Points) -> str:
    whole = np.rint(points * SCALE).astype(int)
    steps = np.diff(whole, axis=0)
    steps = steps[(steps != 0).any(axis=1)]
    moves = " ".join(f"{x} {y}" for x, y in steps[:-1].tolist())
    return f"M{whole[0, 0]} {whole[0, 1]}l{moves}z" if len(steps) > 2 else ""


def area(points: Points) -> float:
    """Of a closed polygon (n, 2), px, whatever its direction."""
    x, y = points.T
    return float(abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2)


def simplified(points: Points) -> Points:
    """Of a closed line (n, 2), first = last: the points that Douglas and Peucker keep."""
    keep = np.zeros(len(points), bool)
    far = int(np.argmax(((points - points[0]) ** 2).sum(axis=1)))
    keep[[0, far, -1]] = True
    pending = [(0, far), (far, len(points) - 1)]
    while pending:
        first, last = pending.pop()
        if last - first < 2:
            continue
        distance = _from_chord(points[first : last + 1])
        worst = int(np.argmax(distance))
        if distance[worst] > _TOLERANCE:
            keep[first + worst] = True
            pending += [(first, first + worst), (first + worst, last)]
    return points[keep]


def _from_chord(points: Points) -> Points:
    """Distance of each point (n, 2) from the line through the first and the last, px."""
    chord, steps = points[-1] - points[0], points - points[0]
    length = float(np.hypot(*chord))
    if length == 0:
        away: Points = np.hypot(steps[:, 0], steps[:, 1])
        return away
    distance: Points = np.abs(chord[0] * steps[:, 1] - chord[1] * steps[:, 0]) / length
    return distance
