"""Windows of different sizes in one tensor of the largest size, without the largest one's work."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

GROUPS = 4


def by_size(rows: Tensor, columns: Tensor) -> Iterator[Tensor]:
    """Indices of n windows with so many `rows` and `columns` (n,), in at most GROUPS groups.

    A window is with those that are at least half as large as the largest, a quarter, and so on,
    by the side that is larger in proportion. So what is done for each window of a group at the
    size of the group's largest is less than four times what the group needs, most often twice.
    """
    if not len(rows):
        return
    share = torch.maximum(rows / rows.amax(), columns / columns.amax())
    group = (-share.log2()).floor().clamp(0, GROUPS - 1)
    for number in range(GROUPS):
        index = (group == number).nonzero()[:, 0]
        if len(index):
            yield index
