"""Classes of cells, by hand."""

import math
from dataclasses import replace
from functools import partial

import pytest
import rectangles
import torch

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
