"""The batches of an epoch: their images and canvas, prepared ahead by threads or processes."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context

import numpy as np
import torch

from segcli.train.augment import Augmentation, Example, make_example
from segcli.train.data import AnnotatedImage
from segcli.types import Batch, Size, Targets

_WINDOW = 16  # batches within which images of similar shape are grouped


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """Which rows make a batch and on what canvas (height, width) px.

    `draws` are the places of the samples in the epoch, from which their random numbers come; none:
    the rows' own numbers, which is enough where each row comes once.
    """

    rows: tuple[int, ...]
    canvas: Size
    draws: tuple[int, ...] = ()

    def parts(self, count: int) -> list[BatchPlan]:
        """The batch in `count` parts of like size; fewer, if it has fewer images."""
        if count == 1:
            return [self]
        return [
            BatchPlan(self.rows[i::count], self.canvas, self.draws[i::count])
            for i in range(min(count, len(self.rows)))
        ]


def samples_per_epoch(rows: Sequence[AnnotatedImage]) -> int:
    """The number of samples in an epoch: the sum of the rows' weights."""
    return max(1, round(sum(row.weight for row in rows)))


def plan_epoch(
    rows: Sequence[AnnotatedImage],
    *,
    batch_size: int,
    short: tuple[int, int],
    stride: int,
    seed: int,
    epoch: int,
) -> list[BatchPlan]:
    """A random order in which batches hold images of like shape, each with a random short side.

    `short` is the range (px) of the canvas's short side; its long side follows the images, up to
    twice the short one. Every row comes as often as its weight says; the last batch may be smaller.
    """
    rng = np.random.default_rng([seed, epoch])
    order = _drawn(rows, rng)
    batches: list[list[int]] = []  # of places in the epoch
    span = batch_size * _WINDOW
    for start in range(0, len(order), span):
        places = range(start, min(start + span, len(order)))
        window = sorted(places, key=lambda place: rows[order[place]].aspect)
        batches += [window[i : i + batch_size] for i in range(0, len(window), batch_size)]
    plans = []
    for index in rng.permutation(len(batches)):
        draws = tuple(batches[index])
        chosen = tuple(order[place] for place in draws)
        side = int(rng.integers(short[0], short[1] + 1))
        aspect = float(np.median([rows[i].aspect for i in chosen]))
        height = side * min(max(aspect, 1.0), 2.0)
        width = side * min(max(1 / aspect, 1.0), 2.0)
        plans.append(BatchPlan(chosen, (_ceil(height, stride), _ceil(width, stride)), draws))
    return plans


def _drawn(rows: Sequence[AnnotatedImage], rng: np.random.Generator) -> list[int]:
    """Rows in random order, each its weight times, rounded up or down at random; always as many
    as `samples_per_epoch` (systematic sampling)."""
    total = samples_per_epoch(rows)
    edges = np.cumsum([0.0, *(row.weight for row in rows)])
    edges = edges * (total / edges[-1])
    edges[-1] = total
    counts = np.diff(np.floor(edges + rng.random())).astype(int)
    return [int(i) for i in rng.permutation(np.repeat(np.arange(len(rows)), counts))]


def _ceil(length: float, stride: int) -> int:
    return max(1, round(length / stride)) * stride


class Samples:
    """What the samples of a training are made of; its pickle goes to each process once."""

    def __init__(
        self, rows: Sequence[AnnotatedImage], augmentation: Augmentation, seed: int
    ) -> None:
        self.rows, self.augmentation, self.seed = rows, augmentation, seed
        self._edges = np.cumsum([row.weight for row in rows])

    def make(self, epoch: int, index: int, draw: int, canvas: Size) -> Example:
        """The sample at place `draw` of the epoch, from row `index`; the same in any process."""
        rng = np.random.default_rng([self.seed, epoch, draw])
        at = int(np.searchsorted(self._edges, rng.random() * self._edges[-1], side="right"))
        donor = self.rows[min(at, len(self.rows) - 1)]
        return make_example(
            self.rows[index], canvas, rng, augmentation=self.augmentation, donor=donor
        )


Submit = Callable[[int, int, int, Size], "Future[Example]"]
"""Begins `Samples.make` elsewhere."""


@contextmanager
def preparing(samples: Samples, workers: int, *, processes: bool = False) -> Iterator[Submit]:
    """Threads or processes that make samples until the end of the block.

    Threads share one interpreter and prepare about as many images as a CPU learns from; a GPU
    needs processes.
    """
    if processes:
        pool: Executor = ProcessPoolExecutor(
            workers, get_context("spawn"), initializer=_begin, initargs=(samples,)
        )
        make: Callable[[int, int, int, Size], Example] = _make_here
    else:
        pool = ThreadPoolExecutor(workers, thread_name_prefix="augment")
        make = samples.make
    try:
        yield lambda *place: pool.submit(make, *place)
    finally:
        pool.shutdown(cancel_futures=True)


_samples: Samples | None = None  # of a process that makes samples


def _begin(samples: Samples) -> None:
    global _samples
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the training, which ends this
    torch.set_num_threads(1)
    _samples = samples


def _make_here(epoch: int, index: int, draw: int, canvas: Size) -> Example:
    assert _samples is not None, "the process has begun"
    return _samples.make(epoch, index, draw, canvas)


def batches(
    submit: Submit, plans: Sequence[BatchPlan], *, epoch: int, ahead: int
) -> Iterator[tuple[Batch, list[Targets]]]:
    """The planned batches in order, with `ahead` further ones in preparation."""
    begun: deque[list[Future[Example]]] = deque()
    waiting = iter(plans)
    while True:
        for plan in islice(waiting, ahead + 1 - len(begun)):
            pairs = zip(plan.rows, plan.draws or plan.rows, strict=True)
            begun.append([submit(epoch, i, draw, plan.canvas) for i, draw in pairs])
        if not begun:
            return
        yield _collate([future.result() for future in begun.popleft()])


def load_epoch(
    rows: Sequence[AnnotatedImage],
    plans: Sequence[BatchPlan],
    *,
    augmentation: Augmentation,
    seed: int,
    epoch: int,
    workers: int,
) -> Iterator[tuple[Batch, list[Targets]]]:
    """The batches of a single epoch in order, prepared by threads."""
    with preparing(Samples(rows, augmentation, seed), workers) as submit:
        yield from batches(submit, plans, epoch=epoch, ahead=workers)


def _collate(examples: Sequence[Example]) -> tuple[Batch, list[Targets]]:
    """Stack examples of one canvas."""
    pixels = np.stack([e.pixels for e in examples]).transpose(0, 3, 1, 2)
    contents = tuple(e.content for e in examples)
    batch = Batch(
        keys=tuple(str(i) for i in range(len(examples))),
        pixels=torch.from_numpy(np.ascontiguousarray(pixels)),
        content_sizes=contents,
        image_sizes=contents,
    )
    return batch, [_targets(e) for e in examples]


def _targets(example: Example) -> Targets:
    return Targets(
        labels=torch.from_numpy(example.labels),
        boxes=torch.from_numpy(example.boxes),
        masks=torch.from_numpy(np.ascontiguousarray(example.masks)),
        crowd=torch.from_numpy(example.crowd),
        exhaustive=torch.tensor(example.exhaustive),
        outlined=torch.from_numpy(example.outlined),
        keypoints=None if example.keypoints is None else torch.from_numpy(example.keypoints),
    )
