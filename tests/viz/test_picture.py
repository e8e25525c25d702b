"""One image with its masks: what is painted where, and golden pictures."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFont

from segcli.viz import Style, cutout, draw, label
from segcli.viz.palette import FALSE, MISSED, TRUE, colour_of

GOLDEN = Path(__file__).parent.parent / "golden/draw"
SIZE = (120, 160)
PLAIN = Style(boxes=False, labels=False)


def test_a_mask_is_tinted_and_its_rim_is_solid_inside_a_light_line(painted):
    pixels = np.full((120, 160, 3), 100, np.uint8)
    shown = draw(pixels, [painted.shown(painted.block(20, 30, 40, 50))], PLAIN, image_size=SIZE)
    colour = np.array(colour_of(3))
    np.testing.assert_allclose(shown[20, 30], 190 + colour * 65 / 255, atol=1)
    assert shown[21, 31].tolist() == colour.tolist()
    np.testing.assert_allclose(shown[40, 50], 100 * 0.55 + colour * 0.45, atol=2)
    assert shown[19, 30].tolist() == [100, 100, 100]


def test_outline_leaves_the_inside_alone(painted):
    pixels = np.full((120, 160, 3), 100, np.uint8)
    style = Style(mode="outline", boxes=False, labels=False)
    shown = draw(pixels, [painted.shown(painted.block(20, 30, 40, 50))], style, image_size=SIZE)
    assert shown[21, 31].tolist() == list(colour_of(3))
    assert shown[40, 50].tolist() == [100, 100, 100]


def test_the_image_given_is_not_painted_on(painted):
    pixels = painted.background()
    draw(pixels, painted.scene(), Style(), image_size=SIZE)
    assert (pixels == painted.background()).all()


def test_a_small_object_lies_on_a_large_one_whatever_the_order(painted):
    large, small = (
        painted.shown(painted.disc(60, 60, 50), 1),
        painted.shown(painted.disc(60, 60, 5), 3),
    )
    one = draw(painted.background(), [large, small], PLAIN, image_size=SIZE)
    other = draw(painted.background(), [small, large], PLAIN, image_size=SIZE)
    assert (one == other).all()
    assert one[60, 56].tolist() == list(colour_of(3))


def test_a_mask_too_small_for_a_light_line_has_none(painted):
    pixels = np.full((120, 160, 3), 100, np.uint8)
    shown = draw(pixels, [painted.shown(painted.block(20, 30, 9, 50))], PLAIN, image_size=SIZE)
    assert shown[20, 30].tolist() == list(colour_of(3))


def test_verdicts_have_their_own_colours_and_a_miss_is_an_outline(painted):
    pixels = np.full((120, 160, 3), 100, np.uint8)
    for verdict, colour in (("true", TRUE), ("false", FALSE), ("missed", MISSED)):
        one = painted.shown(painted.block(20, 30, 40, 50), verdict=verdict)
        shown = draw(pixels, [one], PLAIN, image_size=SIZE)
        assert shown[21, 31].tolist() == list(colour)
        assert (shown[40, 50].tolist() == [100, 100, 100]) == (verdict == "missed")


def test_blur_leaves_nothing_finer_than_a_square(painted):
    pixels = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    mask = painted.disc(60, 80, 40)
    shown = draw(pixels, [painted.shown(mask)], Style(mode="blur"), image_size=SIZE)
    inner = shown[40:80, 60:100]
    colours = np.unique(inner.reshape(-1, 3), axis=0)
    assert len(colours) <= 36  # squares of 10 px at least, of 1,600 random pixels before
    assert (shown[:10] == pixels[:10]).all()
    margin = painted.disc(60, 80, 42) & ~mask  # masks miss the rim: it goes as well
    assert (shown[margin] != pixels[margin]).any(axis=1).mean() > 0.9


def test_blur_reaches_over_the_border_of_the_image(painted):
    pixels = np.full((120, 160, 3), 200, np.uint8)
    mask = painted.block(0, 0, 30, 30) | painted.block(100, 130, 20, 30)
    shown = draw(pixels, [painted.shown(mask)], Style(mode="blur"), image_size=SIZE)
    assert (shown == 200).all()  # no dark squares from beyond


def test_a_cutout_is_the_object_on_nothing(painted):
    alone = cutout(painted.background(), painted.mask(painted.disc(50, 40, 25)), image_size=SIZE)
    assert alone.shape == (51, 51, 4)
    assert alone[25, 25].tolist() == [*painted.background()[50, 40], 255]
    assert alone[0, 0, 3] == 0


def test_max_side_scales_everything(painted):
    shown = draw(painted.background(), painted.scene(), Style(max_side=80), image_size=SIZE)
    assert shown.shape == (60, 80, 3)
    # as when only half of the pixels had been decoded
    half = painted.background()[::2, ::2]
    again = draw(half, painted.scene(), Style(max_side=80), image_size=SIZE)
    assert np.abs(shown.astype(int) - again).mean() < 2


@pytest.mark.parametrize("size", [(1, 1), (3, 2000), (2000, 3), (17, 5)])
def test_any_size_can_be_drawn(painted, size):
    mask = np.ones(size, bool)
    shown = draw(np.zeros((*size, 3), np.uint8), [painted.shown(mask)], Style(), image_size=size)
    assert shown.shape == (*size, 3)


def test_strange_names_are_drawn_as_text(painted):
    names = ["行人", "a\nb", "<b>", "", "ش" * 50, "x" * 500]
    items = [painted.shown(painted.disc(60, 80, 40), name=name) for name in names]
    assert draw(painted.background(), items, Style(), image_size=SIZE).shape == (120, 160, 3)


@pytest.mark.parametrize(
    ("name", "style"),
    [
        ("overlay", Style()),
        ("outline", Style(mode="outline")),
        ("blur", Style(mode="blur")),
        ("half", Style(max_side=80)),
    ],
)
def test_golden(painted, name, style, monkeypatch):
    # A Pillow with libraqm places letters in another way.
    font, basic = label.font, ImageFont.Layout.BASIC
    monkeypatch.setattr(
        label, "font", lambda size: ImageFont.truetype(font(size).path, size, layout_engine=basic)
    )
    shown = draw(painted.background(), painted.scene(), style, image_size=SIZE)
    with Image.open(GOLDEN / f"{name}.png") as picture:
        golden = np.asarray(picture.convert("RGB")).astype(int)
    difference = np.abs(shown.astype(int) - golden)
    # Versions of FreeType draw letters a little differently; nothing else may move.
    assert difference.mean() < 1.5
    assert (difference.max(axis=-1) > 24).mean() < 0.03
