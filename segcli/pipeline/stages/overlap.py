"""Keep a GPU computing while the host prepares the next batch and encodes the masks of the last.

Three stages work at the same time, each on another batch: a thread collates a batch and copies it
to the device on a stream of its own; the calling thread runs the network; another thread turns
masks into run lengths, on a third stream. A batch that fails in any of them goes through
`Inference.records`, which halves it, finds the image at fault or reports the lost device.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from segcli.pipeline.stages.inference import Inference
from segcli.pipeline.stages.prefetch import Loaded
from segcli.types import Batch, Instances, Record, Segment, Size

if TYPE_CHECKING:
    import torch

_ENCODING = 1  # batches whose masks may be unfinished while the next network runs


@dataclass(slots=True)
class _InWork:
    """A batch of images of one canvas, and what becomes of it."""

    canvas: Size
    group: Sequence[Loaded]
    copied: Future[tuple[Batch, Any]]
    encoded: Future[list[list[Segment]]] | None = None


class Overlap:
    """Runs batches through `inference`; on a processor (not `ahead`) one after another, because
    all stages share its cores.

    Leave its context to end the threads.
    """

    def __init__(self, inference: Inference, *, ahead: bool | None = None) -> None:
        self._inference = inference
        self._ahead = inference.device.type != "cpu" if ahead is None else ahead
        self._copies = ThreadPoolExecutor(1, thread_name_prefix="copy")
        self._masks = ThreadPoolExecutor(1, thread_name_prefix="masks")
        self._copying: _InWork | None = None
        self._encoding: deque[_InWork] = deque()
        self._copy_stream, self._mask_stream = _streams(inference.device)

    def __enter__(self) -> Overlap:
        return self

    def __exit__(self, *error: object) -> None:
        for threads in (self._copies, self._masks):
            threads.shutdown(cancel_futures=True)

    def add(self, canvas: Size, group: Sequence[Loaded]) -> Iterator[list[Record]]:
        """Start with a batch; yields the records of batches that are finished, in their order."""
        if not self._ahead:
            yield self._inference.records(canvas, group)
            return
        work = _InWork(canvas, group, self._copies.submit(self._copy, group))
        yield from self._compute()
        self._copying = work

    def rest(self) -> Iterator[list[Record]]:
        """The records of all batches that are still in work."""
        yield from self._compute()
        yield from self._finish(0)

    def _compute(self) -> Iterator[list[Record]]:
        """Run the network on the batch that was copied meanwhile."""
        work, self._copying = self._copying, None
        if work is None:
            return
        if self._start(work):
            self._encoding.append(work)
            yield from self._finish(_ENCODING)
            return
        canvas, group = work.canvas, work.group
        del work  # and with it the tensors that the errors of its threads refer to
        yield from self._finish(0)
        yield self._inference.records(canvas, group)

    def _start(self, work: _InWork) -> bool:
        """Whether the network has run, and the masks are being encoded."""
        inference = self._inference
        try:
            batch, event = work.copied.result()
            _wait(inference.device, event, batch)
            views = inference.views_of(batch, inference.refinement)
            done = _event(inference.device)
            work.encoded = self._masks.submit(self._encode, batch, views, done)
        except Exception:  # `records` repeats it and knows what to do
            return False
        return True

    def _finish(self, most: int) -> Iterator[list[Record]]:
        """Wait until no more than `most` batches have unfinished masks."""
        while len(self._encoding) > most:
            work = self._encoding.popleft()
            assert work.encoded is not None, "started"
            canvas, group = work.canvas, work.group
            if work.encoded.exception() is None:
                yield self._inference.finished(group, work.encoded.result())
            else:
                del work
                yield self._inference.records(canvas, group)

    def _copy(self, group: Sequence[Loaded]) -> tuple[Batch, Any]:
        """The batch on the device once the event has happened."""
        images = [item.image for item in group if item.image is not None]
        with _on(self._copy_stream):
            batch = self._inference.batch_of(images)
            return batch, _event(self._inference.device)

    def _encode(
        self, batch: Batch, views: Sequence[Sequence[Instances]], done: Any
    ) -> list[list[Segment]]:
        """The last use of the tensors: their memory is free for others when this returns."""
        with _on(self._mask_stream):
            _wait(self._inference.device, done)
            return self._inference.segments_of(batch, views, self._inference.refinement)


def _streams(device: torch.device) -> tuple[Any, Any]:
    """For copies and for masks, whose small kernels go before those of the network; None, None on
    a processor."""
    if device.type != "cuda":
        return None, None
    import torch

    make: Any = torch.cuda.Stream
    return make(device), make(device, priority=-1)


def _on(stream: Any) -> AbstractContextManager[Any]:
    """What is done inside is queued on `stream`."""
    if stream is None:
        return nullcontext()
    import torch

    return torch.cuda.stream(stream)


def _event(device: torch.device) -> Any:
    """An event that happens when what is queued on this thread's stream is done."""
    if device.type != "cuda":
        return None
    import torch

    return torch.cuda.current_stream(device).record_event()


def _wait(device: torch.device, event: Any, batch: Batch | None = None) -> None:
    """Let this thread's stream wait for the event, and then use the pixels of `batch`."""
    if event is None:
        return
    import torch

    stream = torch.cuda.current_stream(device)
    stream.wait_event(event)
    if batch is not None:
        batch.pixels.record_stream(stream)
