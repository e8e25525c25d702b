"""Panoptic quality by hand."""

import numpy as np
import pytest

from scripts.studies.panoptic_quality import Tally

TRUTH, CLASSES = np.array([[1, 1, 1, 1, 2, 2, 0, 0]]), np.array([0, 1])


def quality(found, classes):
    one = Tally(3)
    one.add(np.array([found]), np.array(classes), TRUTH, CLASSES)
    return one.quality()


def test_quality():
    assert quality([2, 2, 2, 2, 1, 1, 0, 0], [1, 0]) == 1.0  # numbers mean nothing
    # Three of four px match; an object of class 1 that is not there, and one missed.
    assert quality([1, 1, 1, 0, 0, 0, 2, 2], [0, 1]) == pytest.approx((0.75 + 0) / 2)
    assert quality([1, 1, 1, 1, 2, 2, 0, 0], [0, 0]) == pytest.approx((1 / 1.5 + 0) / 2)
    assert quality([0] * 8, []) == 0.0


def test_images_count_together():
    one = Tally(2)
    for found in (TRUTH, 0 * TRUTH):
        one.add(found, CLASSES if found.any() else CLASSES[:0], TRUTH, CLASSES)
    assert one.quality() == pytest.approx(1 / 1.5)
