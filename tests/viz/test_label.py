"""Where labels are placed, and which are left away."""

import numpy as np
import pytest
from PIL import Image

from segcli.viz.label import Labels, fitted, font

RED, BLUE = (200, 0, 0), (0, 0, 200)
SIZE = (300, 200)  # (width, height) px
LETTERS = ("person 0.93", ".93")


@pytest.fixture
def page():
    return Image.new("RGB", SIZE, (255, 255, 255))


def plate(page, colour):
    """(x0, y0, x1, y1) of the pixels of a colour; None without any."""
    rows, columns = np.nonzero((np.asarray(page) == colour).all(axis=-1))
    if not len(rows):
        return None
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_a_label_stands_on_its_box(page):
    box = (100, 80, 220, 160)
    Labels(page, [box]).add(LETTERS, box, RED)
    x0, y0, x1, y1 = plate(page, RED)
    assert x0 == 100
    assert y1 == pytest.approx(80, abs=1)
    assert x1 - x0 > font(11).getlength(LETTERS[0])
    assert 11 <= y1 - y0 <= 20


def test_a_label_never_leaves_the_picture(page):
    for box in ((0, 0, 20, 5), (290, 190, 299, 199), (0, 0, 299, 199)):
        fresh = page.copy()
        Labels(fresh, [box]).add(LETTERS, box, RED)
        x0, y0, x1, y1 = plate(fresh, RED)
        assert x1 - x0 > font(11).getlength(LETTERS[0])
        assert y1 - y0 >= 11


def test_two_labels_do_not_hide_one_another(page):
    boxes = [(100, 80, 220, 160), (104, 84, 214, 150)]
    labels = Labels(page, boxes)
    labels.add(LETTERS, boxes[0], RED)
    before = (np.asarray(page) == RED).all(axis=-1).sum()
    labels.add(LETTERS, boxes[1], BLUE)
    assert (np.asarray(page) == RED).all(axis=-1).sum() == before
    assert plate(page, BLUE) is not None


def test_a_label_does_not_hide_a_small_object_above(page):
    large, small = (100, 80, 220, 160), (100, 60, 130, 79)
    Labels(page, [large, small]).add(LETTERS, large, RED)
    x0, y0, x1, y1 = plate(page, RED)
    assert x0 >= 130 or y0 >= 79


def test_where_there_is_no_room_the_score_is_left_and_then_nothing(page):
    box = (140, 95, 150, 105)
    labels = Labels(page, [box] * 40)
    inks = [(i, 0, 99) for i in range(40)]
    for ink in inks:
        labels.add(LETTERS, box, ink)
    found = [plate(page, ink) for ink in inks]
    wide = [p for p in found if p is not None and p[2] - p[0] > font(11).getlength(LETTERS[0])]
    narrow = [p for p in found if p is not None and p not in wide]
    assert wide
    assert narrow
    assert None in found  # forty labels do not fit around ten pixels


def test_fitted_keeps_both_ends():
    text = "a-folder/" * 40 + "image.jpg"
    short = fitted(text, 120, 15)
    assert font(15).getlength(short) <= 120
    assert short.startswith("a-f")
    assert short.endswith(".jpg")
    assert fitted("short", 120, 15) == "short"
