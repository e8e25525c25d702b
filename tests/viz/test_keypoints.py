"""Keypoints and skeletons in pictures."""

from dataclasses import replace

import numpy as np
import pytest

from segcli.keypoints import Skeleton
from segcli.masks import rle
from segcli.store.image_masks import Mask
from segcli.viz.keypoints import SHOWN, figure_of
from segcli.viz.palette import colour_of
from segcli.viz.picture import ShownMask, Style, draw

SIZE = (120, 160)
SKELETON = Skeleton(("a", "b", "c"), ((0, 1), (1, 2)))
POINTS = ((39.5, 29.5, 0.9), (99.5, 29.5, 0.5), (99.5, 89.5, SHOWN / 2))
GREY = np.full((*SIZE, 3), 90, np.uint8)


def person(keypoints=POINTS, *, notch: bool = False) -> ShownMask:
    """Its mask is its box, which is not filled, unless there is a `notch` in it."""
    inside = np.zeros(SIZE, bool)
    inside[20:100, 30:120] = True
    if notch:
        inside[20:30, 110:120] = False
    text = rle.encode(inside)
    box = rle.to_box(text, *SIZE)
    return ShownMask(Mask(1, "person", 0.9, box, int(inside.sum()), text, None, keypoints))


def drawn(shown: ShownMask, **more) -> np.ndarray:
    style = Style(boxes=False, labels=False, skeletons={"person": SKELETON}, **more)
    return draw(GREY, [shown], style, image_size=SIZE)


def test_what_is_drawn_of_an_object() -> None:
    figure = figure_of(POINTS, SKELETON, (0.5, 2.0))
    assert figure.points == [(20, 60), (50, 60)]  # the third one has too low a score
    assert figure.lines == [((20, 60), (50, 60))]
    assert figure_of(POINTS, None, (1, 1)).lines == []
    nothing = figure_of(None, SKELETON, (1, 1))
    assert (nothing.points, nothing.lines) == ([], [])


def test_dots_and_lines_have_the_colour_of_the_category() -> None:
    picture = drawn(person())
    colour = list(colour_of(1))
    assert picture[30, 40].tolist() == picture[30, 100].tolist() == colour
    assert picture[30, 70].tolist() == colour  # on the line
    assert picture[29, 70].tolist() == picture[31, 70].tolist() == [255, 255, 255]  # its rim
    assert picture[90, 100].tolist() == [90, 90, 90]  # the keypoint with a low score
    assert picture[60, 100].tolist() == [90, 90, 90]  # and the line to it


@pytest.mark.parametrize("mode", ["overlay", "outline"])
def test_a_box_for_a_mask_does_not_hide_the_person(mode: str) -> None:
    assert drawn(person(), mode=mode)[60, 60].tolist() == [90, 90, 90]
    filled = drawn(person(notch=True), mode=mode)[60, 60].tolist() != [90, 90, 90]
    assert filled == (mode == "overlay")
    bare = replace(person().mask, keypoints=None)
    filled = drawn(ShownMask(bare), mode=mode)[60, 60].tolist() != [90, 90, 90]
    assert filled == (mode == "overlay")


def test_they_scale_with_the_picture() -> None:
    picture = drawn(person(), max_side=80)
    assert picture.shape == (60, 80, 3)
    assert picture[15, 20].tolist() == picture[15, 50].tolist() == list(colour_of(1))


def test_without_a_skeleton_there_are_dots_alone() -> None:
    style = Style(boxes=False, labels=False)
    picture = draw(GREY, [person()], style, image_size=SIZE)
    assert picture[30, 40].tolist() == list(colour_of(1))
    assert picture[30, 70].tolist() == [90, 90, 90]
