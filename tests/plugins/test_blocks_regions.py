"""Distances, components and openings, by hand."""

import numpy as np

from segcli_blocks import regions


def test_distance_counts_from_the_rim_and_not_from_the_images_edge():
    mask = np.zeros((5, 6), dtype=bool)
    mask[:, :4] = True
    assert regions.distance_inside(mask)[2].tolist() == [4, 3, 2, 1, 0, 0]
    assert (regions.distance_inside(np.ones((3, 7), dtype=bool)) == 7).all()


def test_corners_connect_or_not():
    mask = np.eye(3, dtype=bool)
    assert regions.components(mask, diagonal=True)[1] == 1
    assert regions.components(mask, diagonal=False)[1] == 3


def test_small_parts_go():
    mask = np.array([[1, 1, 0, 1], [1, 0, 0, 0]], dtype=bool)
    assert regions.without_small(mask, 3).tolist() == [
        [True, True, False, False],
        [True] + [False] * 3,
    ]


def test_where_two_grow_the_last_has_the_pixel():
    labels = np.array([[1, 0, 2]])
    assert regions.dilated(labels, 3).tolist() == [[1, 2, 2]]


def test_boxes_of_labels():
    labels = np.zeros((4, 5), dtype=np.int64)
    labels[1:3, 2:5] = 1
    labels[3, 0] = 3
    boxes = [[2, 1, 5, 3], [0, 0, 0, 0], [0, 3, 1, 4], [0, 0, 0, 0]]
    assert regions.boxes(labels, 4).tolist() == boxes


def test_opening_takes_lines_away():
    mask = np.zeros((7, 9), dtype=bool)
    mask[1:4, 1:4] = True
    kept = mask.copy()
    mask[5] = True
    assert (regions.opened(mask) == kept).all()


def test_depth_counts_erosions_and_the_images_edge_erodes():
    mask = np.ones((5, 7), dtype=bool)
    mask[4, 6] = False
    assert regions.depth(mask)[2].tolist() == [1, 2, 3, 3, 2, 2, 1]
    assert regions.depth(mask)[4].tolist() == [1] * 6 + [0]
