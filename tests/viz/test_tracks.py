"""Tracks in videos: trails, times, and objects that one frame misses."""

from dataclasses import replace

import numpy as np
import pytest

from segcli.masks import rle
from segcli.store.image_masks import ImageMasks, Mask
from segcli.viz import ShownMask, Style, draw
from segcli.viz.palette import colour_of
from segcli.viz.tracks import Moving, filled, moving, time_text

SIZE = (60, 100)


def mask(x: int, y: int = 20, *, track: int | None = 5, score: float = 0.9) -> Mask:
    pixels = np.zeros(SIZE, bool)
    pixels[y : y + 20, x : x + 10] = True
    text = rle.encode(pixels)
    return Mask(1, "person", score, (x, y, 10, 20), 200, text, track_id=track)


def frame(number: int, *masks: Mask, taken: str | None = None) -> ImageMasks:
    return ImageMasks(f"a.mp4#frame={number}", *SIZE, number, number / 10, masks, taken)


def test_trails_go_back_three_seconds() -> None:
    frames = [frame(n, mask(n), mask(50, track=None)) for n in range(50)]
    trails = [one.trails for one in moving(frames)]
    assert trails[2] == {5: ((5.0, 40.0), (6.0, 40.0), (7.0, 40.0))}
    assert 30 <= len(trails[49][5]) <= 31  # 3 s of ten frames each, rounded


def test_trails_and_numbers_are_drawn_in_the_colour_of_the_track() -> None:
    shown = ShownMask(mask(80))
    assert (shown.text, shown.short, shown.colour) == ("#5 person 0.90", "#5", colour_of(5))
    assert ShownMask(mask(80, track=None)).text == "person 0.90"
    grey = np.full((*SIZE, 3), 90, np.uint8)
    trail = Moving({5: ((10.0, 30.0), (60.0, 30.0))})
    picture = draw(grey, [], Style(), image_size=SIZE, moving=trail)
    assert tuple(picture[30, 35]) == colour_of(5)
    blurred = draw(grey, [], Style(mode="blur"), image_size=SIZE, moving=trail)
    assert (blurred == 90).all()


@pytest.mark.parametrize(
    ("taken", "text"),
    [(None, "0:00:01.5"), ("2026-04-01 08:00:59", "2026-04-01 08:01:00.5")],
)
def test_the_time_is_that_of_the_frame(taken: str | None, text: str) -> None:
    assert time_text(frame(15, taken=taken)) == text


def test_a_damaged_time_and_one_of_another_form_are_no_error() -> None:
    found = replace(frame(15, taken="2026-04-01 08:00:00"), time_s=1e15)
    assert time_text(found) == "277777777777:46:40.0"
    assert time_text(frame(15, taken="2026:04:01 08:00:59")) == "0:00:01.5"


def test_frames_that_miss_an_object_get_it_where_it_was_going() -> None:
    frames = [frame(0, mask(10)), frame(1), frame(2, mask(50, track=8)), frame(3, mask(40))]
    masks = [[(m.track_id, m.box) for m in image.masks] for image in filled(frames)]
    assert masks[0] == [(5, (10, 20, 10, 20))]
    assert masks[1] == [(5, (20, 20, 10, 20))] * 2
    assert masks[2] == [(8, (50, 20, 10, 20)), *[(5, (30, 20, 10, 20))] * 2]
    assert filled(frames[:2]) == frames[:2]  # it is not seen again
