"""Duplicates among the segments of an image, and two views of one image."""

from dataclasses import replace

import numpy as np
import pytest

from segcli.masks import rle
from segcli.masks.suppression import mask_ious, merge_views, suppress
from segcli.types import Segment

SIZE = (20, 30)


def square(left: int, *, label: int = 0, score: float = 0.5, side: int = 10) -> Segment:
    """Rows 2 to 12; columns from `left` on."""
    mask = np.zeros(SIZE, bool)
    mask[2 : 2 + side, left : left + side] = True
    box = (float(left), 2.0, float(side), float(side))
    return Segment(label, score, box, int(mask.sum()), rle.encode(mask))


def test_ious_are_those_of_the_pixels() -> None:
    ious = mask_ious([square(0), square(20)], [square(0), square(5), square(20)], SIZE)
    assert ious == pytest.approx(np.array([[1, 1 / 3, 0], [0, 0, 1]]))
    assert mask_ious([], [square(0)], SIZE).shape == (0, 1)


def test_the_better_of_two_that_overlap_stays() -> None:
    best, other = square(0, score=0.9), square(2, label=1, score=0.8)
    same, apart = square(1, score=0.7), square(15, score=0.6)
    everything = [best, other, same, apart]
    assert suppress(everything, SIZE, iou=0.5, across_labels=True) == [best, apart]
    assert suppress(everything, SIZE, iou=0.5, across_labels=False) == [best, other, apart]
    assert suppress(everything, SIZE, iou=0.9, across_labels=True) == everything
    assert suppress([], SIZE, iou=0.5, across_labels=True) == []


def test_one_that_was_suppressed_suppresses_nothing() -> None:
    chain = [square(0, score=0.9), square(3, score=0.8), square(6, score=0.7)]
    assert suppress(chain, SIZE, iou=0.5, across_labels=True) == [chain[0], chain[2]]


def test_two_views_of_an_object_are_one() -> None:
    first = [square(0, score=0.9), square(18, score=0.4)]
    second = [square(1, score=0.5), square(0, label=1, score=0.3)]
    merged = merge_views(first, second, SIZE, iou=0.5)
    assert [(s.label, s.box[0], pytest.approx(s.score)) for s in merged] == [
        (0, 0.0, 0.7),
        (0, 18.0, 0.2),
        (1, 0.0, 0.15),
    ]
    assert merged[0].rle == first[0].rle


def test_pairs_are_made_by_overlap_and_each_segment_has_one() -> None:
    first = [square(0, score=0.9), square(2, score=0.8)]
    second = [square(2, score=0.6), square(0, score=0.2)]
    merged = merge_views(first, second, SIZE, iou=0.5)
    assert [(s.box[0], pytest.approx(s.score)) for s in merged] == [(2.0, 0.7), (0.0, 0.55)]
    assert merge_views([], [], SIZE, iou=0.5) == []


def test_mask_scores_of_two_views_are_averaged_as_scores_are() -> None:
    first = [replace(square(0, score=0.9), mask_score=0.6), square(18, score=0.4)]
    second = [replace(square(1, score=0.5), mask_score=0.2)]
    merged = merge_views(first, second, SIZE, iou=0.5)
    assert [one.mask_score for one in merged] == [pytest.approx(0.4), None]
