"""Masks as patches, at any scale."""

import numpy as np

from segcli.masks import rle
from segcli.viz.patch import grown, patch_of, rims


def grid(*rows):
    return np.array([[c == "#" for c in row] for row in rows])


def test_a_patch_is_the_mask_in_its_box(painted):
    patch = patch_of(rle.encode(painted.block(3, 5, 2, 4)), (120, 160), (120, 160))
    assert (patch.x, patch.y, patch.cover.shape) == (5, 3, (2, 4))
    assert (patch.cover == 255).all()


def test_an_empty_mask_is_an_empty_patch():
    assert patch_of(rle.encode(np.zeros((8, 8), bool)), (8, 8), (8, 8)).cover.size == 0


def test_shrinking_keeps_place_and_share(painted):
    # 4 x 4 px from (3, 2) on, at half size: whole pixels in the middle, half ones around.
    patch = patch_of(rle.encode(painted.block(2, 3, 4, 4, (12, 12))), (12, 12), (6, 6))
    assert (patch.x, patch.y) == (1, 1)
    np.testing.assert_allclose(patch.cover, [[128, 255, 128]] * 2, atol=1)


def test_shrinking_agrees_with_shrinking_the_whole_frame(painted):
    mask = painted.disc(50, 150, 30)  # cut by the right border
    patch = patch_of(rle.encode(mask), (120, 160), (45, 60))
    whole = np.zeros((45, 60))
    h, w = patch.cover.shape
    whole[patch.y : patch.y + h, patch.x : patch.x + w] = patch.cover
    # each pixel of the picture is 8/3 px wide: weigh the parts
    rows = np.array(
        [
            np.clip(
                np.minimum(np.arange(120) + 1, (i + 1) * 8 / 3)
                - np.maximum(np.arange(120), i * 8 / 3),
                0,
                1,
            )
            for i in range(45)
        ]
    )
    columns = np.array(
        [
            np.clip(
                np.minimum(np.arange(160) + 1, (i + 1) * 8 / 3)
                - np.maximum(np.arange(160), i * 8 / 3),
                0,
                1,
            )
            for i in range(60)
        ]
    )
    share = rows @ mask @ columns.T / (8 / 3) ** 2
    # PIL's box filter takes whole source pixels, so shares differ by part of a pixel at the rim.
    assert np.abs(whole / 255 - share).max() < 0.25
    assert abs((whole / 255).sum() - share.sum()) < 0.02 * share.sum()


def test_a_mask_smaller_than_a_pixel_does_not_break(painted):
    patch = patch_of(rle.encode(painted.block(0, 0, 1, 1)), (120, 160), (3, 4))
    assert patch.cover.shape == (1, 1)
    assert not patch.inside.any()


def test_rims_are_rings_from_the_outside_in():
    solid = grid("######", "######", "######", "######", "######")
    (one,) = rims(solid, 1)
    assert (one == grid("######", "#....#", "#....#", "#....#", "######")).all()
    (two,) = rims(solid, 2)
    assert (two == grid("######", "######", "##..##", "######", "######")).all()
    outer, inner = rims(solid, 1, 1)
    assert (outer == one).all()
    assert (inner == grid("......", ".####.", ".#..#.", ".####.", "......")).all()
    assert not rims(solid, 0)[0].any()


def test_rims_go_around_holes():
    ring = grid("#####", "#####", "##.##", "#####", "#####")
    (rim,) = rims(ring, 1)
    assert rim[2].tolist() == [True, True, False, True, True]
    assert rim[1].tolist() == [True, False, True, False, True]


def test_grown_adds_a_margin():
    assert (grown(grid("#"), 1) == grid(".#.", "###", ".#.")).all()
    assert grown(grid("##", "##"), 3).shape == (8, 8)
