"""Classes of cells and windows on maps, by hand."""

import math
from dataclasses import replace
from functools import partial

import pytest
import rectangles
import torch

from segcli_blocks.crops import Windows, boxes_of
from segcli_blocks.semantic import semantic_loss, truth_of

targets = partial(rectangles.targets, side=16)


def test_the_smallest_target_has_the_cell():
    truth = truth_of(targets((0, 0, 16, 16), (0, 0, 8, 8), labels=[1, 0]), 2)
    assert truth.owner.tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0] * 4, [0] * 4]
    assert truth.allowed[0, 0].tolist() == [True, False, False]
    assert truth.allowed[3, 3].tolist() == [False, True, False]


def test_crowds_are_not_known_and_unannotated_categories_may_be_background():
    target = targets((0, 0, 16, 8), labels=[0], crowd=[True])
    truth = truth_of(replace(target, exhaustive=torch.tensor([True, False])), 2)
    assert truth.known.tolist() == [[False] * 4] * 2 + [[True] * 4] * 2
    assert truth.allowed[3, 0].tolist() == [False, True, True]


def test_loss_of_what_is_allowed():
    target = replace(targets((0, 0, 0, 0), labels=[0]), exhaustive=torch.tensor([True, False]))
    even = torch.zeros(1, 3, 4, 4)
    assert semantic_loss(even, [truth_of(target, 2)]) == pytest.approx(math.log(3 / 2))


def test_rare_classes_weigh_more():
    truth = truth_of(targets((0, 0, 4, 4), labels=[0]), 1)  # one cell of sixteen
    sure = torch.tensor([-9.0, 9.0])[None, :, None, None].expand(1, 2, 4, 4)
    rare, usual = (1 / math.log(1.02 + share) for share in (1 / 16, 15 / 16))
    expected = 18 * rare / (rare + 15 * usual)
    assert semantic_loss(sure, [truth]) == pytest.approx(expected, rel=1e-4)


def test_nothing_known_costs_nothing():
    truth = truth_of(targets((0, 0, 16, 16), labels=[0], crowd=[True]), 1)
    assert semantic_loss(torch.randn(1, 2, 4, 4), [truth]) == 0


def test_windows_have_a_rim_and_stay_on_the_map():
    boxes = torch.tensor([[3, 3, 5, 4], [0, 0, 1, 1], [6, 5, 8, 6]])
    windows = Windows.around(boxes, (6, 8))
    assert windows.shape == (3, 4)
    assert windows.first.tolist() == [[2, 2], [0, 0], [3, 4]]
    assert windows.extents(4)[0].tolist() == [8, 8, 24, 20]
    maps = torch.arange(48).view(6, 8)
    assert windows.of(maps)[0, 0].tolist() == [18, 19, 20, 21]
    assert windows.of(maps.expand(3, 6, 8)).equal(windows.of(maps))


def test_no_windows():
    windows = Windows.around(torch.zeros(0, 4, dtype=torch.int64), (6, 8))
    assert windows.of(torch.zeros(0, 6, 8)).shape == (0, 1, 1)
    assert windows.extents(4).shape == (0, 4)


def test_tight_boxes():
    masks = torch.zeros(1, 5, 6, dtype=torch.bool)
    masks[0, 1:3, 2:6] = True
    assert boxes_of(masks).tolist() == [[2, 1, 6, 3]]
