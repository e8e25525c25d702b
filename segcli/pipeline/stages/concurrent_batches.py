"""Let a processor work on two batches at the same time, each with half of the threads.

The layers of a network use many threads well. What lies between them does not: the choice of
proposals, suppression, regions, run lengths, Python itself. While one batch is there, the other one
uses the cores.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from segcli.models.device import share_threads
from segcli.pipeline.stages.inference import Inference
from segcli.pipeline.stages.prefetch import Loaded
from segcli.types import Record, Segment, Size

_AT_ONCE = 2
_STARTED = _AT_ONCE + 1  # one waits for the first thread that is free


@dataclass(frozen=True, slots=True)
class _InWork:
    """A batch of images of one canvas, and what will be found in them."""

    canvas: Size
    group: Sequence[Loaded]
    found: Future[list[list[Segment]]]


class ConcurrentBatches:
    """Runs batches through `inference` in two threads.

    A batch that fails goes through `Inference.records`, in the calling thread and alone, which
    halves it or finds the image at fault. With one thread, and for a single batch, everything
    happens in the calling thread. Leave its context to end the threads.
    """

    def __init__(self, inference: Inference) -> None:
        import torch

        self._inference = inference
        self._threads = torch.get_num_threads()
        self._pool: ThreadPoolExecutor | None = None
        self._first: tuple[Size, Sequence[Loaded]] | None = None
        self._running: deque[_InWork] = deque()

    def __enter__(self) -> ConcurrentBatches:
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def add(self, canvas: Size, group: Sequence[Loaded]) -> Iterator[list[Record]]:
        """Start with a batch; yields the records of batches that are finished, in their order."""
        if self._threads < _AT_ONCE:
            yield self._inference.records(canvas, group)
        elif self._pool is None and self._first is None:
            self._first = canvas, group  # it may be the only one, which then has all threads
        else:
            self._start(canvas, group)
            yield from self._finish(_STARTED - 1)

    def rest(self) -> Iterator[list[Record]]:
        """The records of all batches that are still in work."""
        if self._first is not None:
            first, self._first = self._first, None
            yield self._inference.records(*first)
        yield from self._finish(0)

    def _start(self, canvas: Size, group: Sequence[Loaded]) -> None:
        if self._pool is None:
            shares = self._threads, _AT_ONCE
            self._pool = ThreadPoolExecutor(_AT_ONCE, "batch", share_threads, shares)
        if self._first is not None:
            first, self._first = self._first, None
            self._submit(*first)
        self._submit(canvas, group)

    def _submit(self, canvas: Size, group: Sequence[Loaded]) -> None:
        assert self._pool is not None, "started"
        images = [item.image for item in group if item.image is not None]
        inference = self._inference
        found = self._pool.submit(inference.segments, images, inference.refinement)
        self._running.append(_InWork(canvas, group, found))

    def _finish(self, most: int) -> Iterator[list[Record]]:
        """Wait until no more than `most` batches are in work."""
        while len(self._running) > most:
            work = self._running.popleft()
            if work.found.exception() is None:
                yield self._inference.finished(work.group, work.found.result())
                continue
            canvas, group = work.canvas, work.group
            del work  # and with it the tensors that its error refers to
            wait([other.found for other in self._running])
            yield self._inference.records(canvas, group)
