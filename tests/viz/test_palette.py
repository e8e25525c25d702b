"""Colours that people can tell apart, whatever their eyes."""

from itertools import combinations

import numpy as np
import pytest

from segcli.categories import COCO_IDS, STREET_IDS
from segcli.viz.palette import BASE, colour_of, ink_on, luminance

# Machado, Oliveira, Fernandes 2009, severity 1.0, on linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def lab(colour, vision):
    """CIELAB (3,) of an RGB colour as that eye sees it."""
    value = np.array(colour) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    seen = (np.array(VISION[vision]) @ linear).clip(0, 1)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = to_xyz @ seen / [0.9505, 1, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("vision", VISION)
def test_the_base_colours_differ_for_every_eye(vision):
    # 2.3 is a just noticeable difference; 19 is another colour.
    distances = [np.linalg.norm(lab(a, vision) - lab(b, vision)) for a, b in combinations(BASE, 2)]
    assert min(distances) > 19


def test_a_category_has_one_colour_and_its_neighbours_others():
    assert colour_of(3) == colour_of(3)
    assert len({colour_of(i) for i in STREET_IDS}) == len(STREET_IDS)
    assert len({colour_of(i) for i in COCO_IDS[:24]}) >= 23


@pytest.mark.parametrize("number", range(1, 25))
def test_text_can_be_read_on_every_colour(number):
    colour = colour_of(number)
    low, high = sorted((luminance(colour), luminance(ink_on(colour))))
    assert (high + 0.05) / (low + 0.05) >= 4.5


def test_a_strange_id_has_a_colour_too():
    assert len(colour_of(0)) == len(colour_of(-7)) == len(colour_of(10**9)) == 3
