"""Contact sheets: their layout and what stands below the pictures."""

import numpy as np
import pytest

from segcli.viz.palette import MISSED, TRUE, colour_of
from segcli.viz.sheet import CELL, columns_for, counted, sheet, thumbnail


@pytest.mark.parametrize(
    ("count", "columns"), [(1, 1), (2, 2), (4, 2), (6, 3), (9, 4), (24, 6), (60, 8), (400, 8)]
)
def test_a_sheet_is_about_as_wide_as_a_screen_with_few_places_empty(count, columns):
    assert columns_for(count) == columns


def test_captions_count_classes_or_verdicts(painted):
    shape = painted.disc(60, 80, 20)
    items = [painted.shown(shape, 1, "person"), *[painted.shown(shape, 3, "car")] * 2]
    assert counted(items) == ((colour_of(3), "2 car"), (colour_of(1), "1 person"))
    judged = [painted.shown(shape, verdict=verdict) for verdict in ("missed", "true", "missed")]
    assert counted(judged) == ((TRUE, "1 right"), (MISSED, "2 missed"))
    assert counted([]) == ()


def test_a_caption_shows_the_colours_and_stays_below_its_picture(painted):
    shape = painted.disc(60, 80, 20)
    items = [painted.shown(shape, number, f"class {number}") for number in range(1, 40)]
    dark = np.zeros((270, 360, 3), np.uint8)
    page = sheet([thumbnail(dark, "a/" * 300 + "b.jpg", items), thumbnail(dark, "c.jpg", [])])
    below = page[16 + CELL[1] :, 16 : 16 + CELL[0]]
    assert (below == colour_of(1)).all(axis=-1).sum() > 40
    margin = page[16 + CELL[1] :, 16 + CELL[0] : 32 + CELL[0]]
    assert (margin == 250).all()  # nothing runs into the next column
