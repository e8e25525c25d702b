"""Decoded images ahead of the model: a thread pool that keeps a bounded number of bytes ready."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from segcli.errors import ImageError
from segcli.images import decode
from segcli.images.batch import content_size, fit
from segcli.sources import read
from segcli.types import Image, ModelInfo, Sample, Size

DECODE: Literal["full", "dct"] = "full"
"""The decode rule of every run, a name in images.RULES; it is compared on resume."""

_BYTES_PER_PX = 4  # Pillow keeps RGB in four bytes
_ITEMS = 64  # futures in line at most, however small the images are


@dataclass(frozen=True, slots=True)
class Loaded:
    """The sample number `index` of a chunk, fitted to its content size, or the `error`."""

    index: int
    sample: Sample
    image: Image | None = None
    error: str | None = None


@dataclass(slots=True)
class Budget:
    """Bytes in flight: whoever is not first in line waits until they fit into `limit`.

    The first in line never waits, so an image larger than the limit passes (alone), and a ticket
    that holds some bytes and asks for more cannot lock the line up.
    """

    limit: int
    _head: int = 0
    _used: int = 0
    _held: dict[int, int] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def take(self, ticket: int, size: int) -> None:
        """Wait for `size` more bytes for `ticket`."""
        with self._changed:
            self._changed.wait_for(lambda: ticket <= self._head or self._used + size <= self.limit)
            self._add(ticket, size)

    def keep(self, ticket: int, size: int) -> None:
        """Give back all that `ticket` holds but `size`."""
        with self._changed:
            self._add(ticket, size - self._held.get(ticket, 0))
            self._changed.notify_all()

    def leave(self, ticket: int) -> None:
        """`ticket`, the first in line, has been fetched: its bytes are the fetcher's business."""
        with self._changed:
            self._used -= self._held.pop(ticket, 0)
            self._head = ticket + 1
            self._changed.notify_all()

    def open(self) -> None:
        """Let everybody through, because nobody will fetch any more."""
        with self._changed:
            self._head = 1 << 62
            self._changed.notify_all()

    def _add(self, ticket: int, size: int) -> None:
        self._used += size
        self._held[ticket] = self._held.get(ticket, 0) + size


@dataclass(frozen=True, slots=True)
class Prefetch:
    """How images are loaded: `threads` decoders, about `limit_bytes` in work at most.

    `strict` makes an error of corrupt data that decodes nevertheless.
    """

    info: ModelInfo
    threads: int
    max_pixels: int
    strict: bool = False
    limit_bytes: int = 512 << 20

    def __call__(self, samples: Sequence[Sample]) -> Iterator[Loaded]:
        """Every sample, in order, whatever the timing of the threads."""
        import torch

        torch.get_num_threads()  # settles those of this thread before `_use_one_core` sets others
        budget = Budget(self.limit_bytes)
        waiting: deque[Future[Loaded]] = deque()

        def fetch() -> Loaded:
            loaded = waiting.popleft().result()
            budget.leave(loaded.index)
            return loaded

        with ThreadPoolExecutor(
            self.threads, thread_name_prefix="decode", initializer=_use_one_core
        ) as pool:
            try:
                for index, sample in enumerate(samples):
                    waiting.append(pool.submit(self._load, index, sample, budget))
                    if len(waiting) >= _ITEMS:
                        yield fetch()
                while waiting:
                    yield fetch()
            finally:
                budget.open()
                pool.shutdown(cancel_futures=True)

    def _load(self, index: int, sample: Sample, budget: Budget) -> Loaded:
        try:
            image = self._fitted(sample, partial(budget.take, index))
        except ImageError as error:
            loaded = Loaded(index, sample, error=str(error))
        except MemoryError:
            loaded = Loaded(index, sample, error="not enough memory to decode it")
        except Exception as error:  # one odd image must not end a night's run; it is a failed row
            loaded = Loaded(index, sample, error=f"{type(error).__name__}: {error}")
        else:
            loaded = Loaded(index, sample, image)
        budget.keep(index, 0 if loaded.image is None else loaded.image.pixels.nbytes)
        return loaded

    def _fitted(self, sample: Sample, take: Callable[[int], None]) -> Image:
        """Takes the bytes of the file before reading and those of the picture before decoding."""

        def opened(size: Size) -> None:
            take(size[0] * size[1] * _BYTES_PER_PX)

        def at_least(size: Size) -> Size:
            return content_size(size, self.info.resize)

        if sample.data is None:
            take(sample.size_bytes or 0)
        image = decode(
            read(sample),
            key=sample.key,
            max_pixels=self.max_pixels,
            at_least=at_least if DECODE == "dct" else None,
            opened=opened,
            strict=self.strict,
        )
        return fit(image, self.info)


def _use_one_core() -> None:
    """A decode thread resizes by itself: its own team of torch threads would crowd the model's."""
    import torch

    torch.set_num_threads(1)  # of this thread, and of later ones that have not computed yet
