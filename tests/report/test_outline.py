"""Masks as vector paths."""

import numpy as np
import pytest

from segcli.report.outline import SCALE, area, figure_path, path_of, simplified
from segcli.viz.keypoints import Figure
from segcli.viz.patch import Patch


def points(path: str) -> list[list[np.ndarray]]:
    """The closed parts of a path of M and l, back in px."""
    parts = []
    for part in path.split("M")[1:]:
        start, moves = part.rstrip("z").split("l")
        first = np.array(start.split(), float)
        steps = np.array(moves.split(), float).reshape(-1, 2)
        parts.append(np.vstack([first, first + np.cumsum(steps, axis=0)]) / SCALE)
    return parts


def patch(mask: np.ndarray, x: int = 0, y: int = 0) -> Patch:
    return Patch(x, y, mask.astype(np.uint8) * np.uint8(255))


def test_a_rectangle_is_about_four_points_at_its_place():
    (part,) = points(path_of(patch(np.ones((20, 30), bool), x=100, y=50)))
    assert len(part) <= 8
    np.testing.assert_allclose(part.min(axis=0), [100, 50], atol=0.51)
    np.testing.assert_allclose(part.max(axis=0), [130, 70], atol=0.51)


def test_a_hole_is_a_part_of_its_own():
    mask = np.ones((30, 30), bool)
    mask[10:20, 10:20] = False
    outer, inner = sorted(points(path_of(patch(mask))), key=area, reverse=True)
    assert area(outer) == pytest.approx(900, rel=0.04)  # half a px at each edge
    assert area(inner) == pytest.approx(100, rel=0.1)


def test_a_disc_keeps_its_area_with_few_points():
    y, x = np.ogrid[:101, :101]
    mask = (y - 50) ** 2 + (x - 50) ** 2 <= 45**2
    (part,) = points(path_of(patch(mask)))
    assert len(part) < 80
    assert area(part) == pytest.approx(mask.sum(), rel=0.02)


def test_specks_and_nothing_are_left_away():
    speck = np.zeros((5, 5), bool)
    speck[2, 2] = True
    assert path_of(patch(speck)) == ""
    assert path_of(patch(np.zeros((0, 0), bool))) == ""


def test_simplifying_keeps_within_the_tolerance():
    t = np.linspace(0, 2 * np.pi, 400)
    line = np.stack([60 * np.cos(t), 40 * np.sin(3 * t)], axis=1)
    kept = simplified(line)
    assert len(kept) < 120
    for point in line:  # distance to the nearest kept segment
        a, b = kept[:-1], kept[1:]
        along = ((point - a) * (b - a)).sum(axis=1) / ((b - a) ** 2).sum(axis=1).clip(1e-9)
        nearest = a + along.clip(0, 1)[:, None] * (b - a)
        assert np.hypot(*(nearest - point).T).min() <= 0.51


def test_keypoints_are_circles_and_lines_of_the_same_path():
    figure = Figure([(10.0, 20.0), (30.0, 20.5)], [((10.0, 20.0), (30.0, 20.5))])
    assert figure_path(figure) == (
        "M20 40L60 41M15 40a5 5 0 1 0 10 0a5 5 0 1 0 -10 0M55 41a5 5 0 1 0 10 0a5 5 0 1 0 -10 0"
    )
    assert figure_path(Figure([], [])) == ""
