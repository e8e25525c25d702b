"""Batches hold one canvas and depend on the order of the images alone."""

import numpy as np

from segcli.pipeline.stages.batching import Batcher
from segcli.pipeline.stages.prefetch import Loaded
from segcli.types import Image, Sample, Size


def images(*sizes: Size) -> list[Loaded]:
    return [
        Loaded(i, Sample(str(i), str(i)), Image(str(i), np.zeros((*size, 3), np.uint8), size))
        for i, size in enumerate(sizes)
    ]


def indices(items: list[Loaded], size: int, **options: int) -> list[tuple[Size, list[int]]]:
    batches = batched(items, Batcher(32, lambda canvas: size, **options))
    return [(canvas, [item.index for item in batch]) for canvas, batch in batches]


def batched(items: list[Loaded], batcher: Batcher) -> list[tuple[Size, list[Loaded]]]:
    """All batches, in order."""
    found = [batch for item in items for batch in batcher.add(item)]
    return [*found, *batcher.rest()]


def test_full_groups_leave_first_and_rests_in_order_of_arrival() -> None:
    items = images((32, 64), (20, 40), (64, 32), (32, 60), (30, 64), (64, 30), (64, 64))
    assert indices(items, 2) == [
        ((32, 64), [0, 1]),
        ((32, 64), [3, 4]),
        ((64, 32), [2, 5]),
        ((64, 64), [6]),
    ]


def test_nothing_gives_no_group() -> None:
    assert indices([], 4) == []


def test_the_longest_waiting_group_leaves_when_too_much_waits() -> None:
    one = 32 * 32 * 3
    items = images((32, 32), (32, 64), (32, 32), (64, 32))
    assert indices(items, 9, pending_bytes=4 * one) == [
        ((32, 32), [0, 2]),
        ((32, 64), [1]),
        ((64, 32), [3]),
    ]


def test_size_is_asked_anew_for_every_image() -> None:
    sizes = iter([4, 4, 1, 4])
    batches = batched(images(*[(32, 32)] * 4), Batcher(32, lambda canvas: next(sizes)))
    assert [[item.index for item in batch] for _, batch in batches] == [[0, 1, 2], [3]]
