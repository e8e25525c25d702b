"""Windows on maps, by hand, and their groups by size."""

import torch

from segcli_blocks.windows import Windows, by_size


def groups(rows, columns):
    return [index.tolist() for index in by_size(torch.tensor(rows), torch.tensor(columns))]


def test_windows_of_like_size_are_together() -> None:
    assert groups([100, 60, 40, 20, 5], [100, 60, 40, 20, 5]) == [[0, 1], [2], [3], [4]]


def test_the_side_that_is_larger_in_proportion_decides() -> None:
    assert groups([100, 10, 10], [10, 10, 1]) == [[0, 1], [2]]


def test_the_smallest_ones_share_the_last_group() -> None:
    assert groups([800, 3, 50], [800, 1, 50]) == [[0], [1, 2]]


def test_no_windows_make_no_group() -> None:
    assert list(by_size(torch.zeros(0), torch.zeros(0))) == []


BOXES = torch.tensor([[3, 3, 5, 4], [0, 0, 1, 1], [6, 4, 8, 5]])


def test_windows_have_a_rim_and_repeat_the_edge_that_they_reach() -> None:
    windows = Windows.around(BOXES, (6, 8))
    assert windows.shape == (4, 4)
    assert windows.first.tolist() == [[2, 2], [-1, -1], [5, 3]]
    assert windows.last.tolist() == [[6, 5], [2, 2], [9, 7]]
    assert windows.extents(4)[0].tolist() == [8, 8, 24, 24]
    assert windows.extents((4, 2), shift=0.5)[2].tolist() == [10.5, 12.5, 18.5, 28.5]
    maps = torch.arange(48).view(6, 8)
    assert windows.of(maps)[0, 0].tolist() == [18, 19, 20, 21]
    assert windows.of(maps)[1, :2].tolist() == [[0, 0, 1, 2]] * 2
    assert windows.of(maps)[2, -1].tolist() == [45, 46, 47, 47]
    assert windows.of(maps.expand(3, 6, 8)).equal(windows.of(maps))


def test_within_tells_a_window_from_what_fills_it_up() -> None:
    assert Windows.around(BOXES, (6, 8), rim=0).shape == (2, 3)
    assert Windows.around(BOXES, (6, 8), rim=0).within().sum((1, 2)).tolist() == [2, 4, 3]


def test_chosen_windows_are_no_larger_than_their_largest() -> None:
    windows = Windows.around(BOXES, (6, 8)).at(torch.tensor([1]))
    assert windows.shape == (3, 3)
    assert windows.grown(1).first.tolist() == [[-2, -2]]
    assert windows.grown(1).shape == (5, 5)
    assert windows.grown(1).of(torch.arange(48).view(6, 8))[0, 0].tolist() == [0, 0, 0, 1, 2]


def test_no_windows() -> None:
    windows = Windows.around(torch.zeros(0, 4, dtype=torch.int64), (6, 8))
    assert windows.of(torch.zeros(0, 6, 8)).shape == (0, 1, 1)
    assert windows.extents(4).shape == (0, 4)
