"""What counts as right or wrong, and who owns a place, by hand."""

from dataclasses import replace
from functools import partial

import rectangles
import torch

from segcli_blocks.targets import (
    annotated,
    at_cells,
    counted,
    crowded,
    labels_of,
    mass_centres,
    smallest,
    without_crowds,
)  # fmt: skip

targets = partial(rectangles.targets, side=16)


def test_crowds_are_no_single_objects():
    found = without_crowds(
        targets((0, 0, 8, 8), (8, 8, 16, 16), labels=[3, 1], crowd=[True, False])
    )
    assert found.labels.tolist() == [1]
    assert found.boxes.tolist() == [[8, 8, 16, 16]]
    assert len(found.masks) == 1


def test_every_category_is_annotated_unless_the_data_set_says_otherwise():
    target = targets((0, 0, 8, 8), labels=[0])
    assert annotated(target, 3).tolist() == [True] * 3
    some = torch.tensor([True, False, False])
    assert annotated(replace(target, exhaustive=some), 3).equal(some)


def test_crowds_and_unknown_categories_count_only_where_a_target_is():
    target = targets((0, 0, 8, 8), (8, 0, 16, 8), labels=[0, 0], crowd=[False, True])
    target = replace(target, exhaustive=torch.tensor([True, False]))
    cells = at_cells(target.masks, 8)
    owner = smallest(cells & ~target.crowd[:, None, None], torch.tensor([64, 64]))
    assert owner.tolist() == [[0, -1], [-1, -1]]
    labels = labels_of(target.labels, owner)
    assert labels.tolist() == [[0, -1], [-1, -1]]
    known = counted(target, labels, crowded(target, cells), 2)
    assert known.tolist() == [[[True, True], [False, False]], [[True, False], [True, False]]]


def test_the_smallest_target_has_the_place():
    inside = torch.tensor([[True, True, False], [True, False, False]])
    assert smallest(inside, torch.tensor([9, 4])).tolist() == [1, 0, -1]
    assert smallest(inside[:0], torch.zeros(0)).tolist() == [-1] * 3
    assert labels_of(torch.zeros(0), torch.tensor([-1])).tolist() == [-1]


def test_mass_centres_count_pixels_from_zero():
    masks = torch.zeros(2, 6, 8, dtype=torch.bool)
    masks[0, 2:4, 1:4] = True
    assert mass_centres(masks).tolist() == [[2, 2.5], [0, 0]]
