"""Windows are grouped by size."""

import torch

from segcli_blocks.windows import by_size


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
