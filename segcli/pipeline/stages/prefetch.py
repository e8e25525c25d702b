"""Decode images ahead of the model in a thread pool, within a limit in bytes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from segcli.errors import ImageError
from segcli.images import decode
from segcli.images.batch import fit
from segcli.images.look import Look, look_at
from segcli.images.tiles import Slicing
from segcli.models.device import use_threads
from segcli.pipeline.stages.clips import Numbered, clip_images, grouped_by_clip
from segcli.pipeline.stages.fetch import Fetches
from segcli.sources import clip_file, held_bytes, is_clip, read, refuse_growing
from segcli.types import Image, ModelInfo, Sample, Size

DECODE = "full"
"""The decode rule of every run, a name in images.RULES; it is compared on resume."""

_BYTES_PER_PX = 4  # Pillow keeps RGB in four bytes
_ITEMS = 64  # futures in line at most, however small the images are
_CORES = 1  # on which a decode thread resizes; more would compete with the model's


@dataclass(frozen=True, slots=True)
class Loaded:
    """The sample number `index` of a chunk, or the `error`; `look` where it was asked for.

    The image is fitted to its content size, but for one that is to be cut into tiles.
    """

    index: int
    sample: Sample
    image: Image | None = None
    error: str | None = None
    look: Look | None = None


@dataclass(slots=True)
class Budget:
    """Bytes in flight: a ticket that is not first in line waits until they fit into `limit`.

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

    def hand_on(self, ticket: int, later: int, size: int) -> None:
        """`later` holds `size` of the bytes of `ticket` from now on."""
        with self._changed:
            self._held[ticket] -= size
            self._held[later] = self._held.get(later, 0) + size

    def leave(self, ticket: int) -> None:
        """`ticket`, the first in line, has been fetched: its bytes are the fetcher's business."""
        with self._changed:
            self._used -= self._held.pop(ticket, 0)
            self._head = ticket + 1
            self._changed.notify_all()

    def open(self) -> None:
        """Let all tickets through, because no more images will be fetched."""
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
    `stream` is the video stream whose frames are read, counted from 0. Images that `slicing` cuts
    keep their size. `looks`: the luminance of each image is measured.
    """

    info: ModelInfo
    threads: int
    max_pixels: int
    strict: bool = False
    limit_bytes: int = 512 << 20
    stream: int = 0
    slicing: Slicing | None = None
    looks: bool = False

    def load(self, samples: Sequence[Sample]) -> Iterator[Loaded]:
        """Every sample, in order, whatever the timing of the threads."""
        import torch

        torch.get_num_threads()  # settles those of this thread before a decode thread sets others
        budget = Budget(self.limit_bytes)
        waiting: deque[Future[Loaded]] = deque()
        stopped = threading.Event()
        fetches = Fetches(stopped)

        def fetch() -> Loaded:
            loaded = waiting.popleft().result()
            budget.leave(loaded.index)
            return loaded

        with ThreadPoolExecutor(self.threads, "decode", use_threads, initargs=(_CORES,)) as pool:
            try:
                for group in grouped_by_clip(samples):
                    waiting.extend(self._submit(pool, group, budget, fetches))
                    while len(waiting) >= _ITEMS:
                        yield fetch()
                while waiting:
                    yield fetch()
            finally:
                stopped.set()
                budget.open()
                fetches.close()
                pool.shutdown(cancel_futures=True)

    def _submit(
        self,
        pool: ThreadPoolExecutor,
        group: Sequence[Numbered],
        budget: Budget,
        fetches: Fetches,
    ) -> list[Future[Loaded]]:
        """A future for each sample: a thread for a still, or for all frames of a video."""
        index, sample = group[0]
        if sample.frame is None:
            take = partial(budget.take, index)
            fetched = fetches.start(sample, take, partial(budget.keep, index))
            make = partial(self._fitted, sample, take, fetched)
            return [pool.submit(self._loaded, index, sample, budget, make)]
        futures: list[Future[Loaded]] = [Future() for _ in group]
        pool.submit(self._load_clip, group, futures, budget, fetches.stopped)
        return futures

    def _load_clip(
        self,
        group: Sequence[Numbered],
        futures: Sequence[Future[Loaded]],
        budget: Budget,
        stopped: threading.Event,
    ) -> None:
        """Settles all futures; a video that fails as a whole fails each of its frames."""
        first, last = group[0], group[-1]
        if held := held_bytes(first[1]):
            budget.take(first[0], held)
            budget.hand_on(first[0], last[0], held)
        images = clip_images(
            group,
            stream=self.stream,
            threads=self.threads,
            max_pixels=self.max_pixels,
            take=budget.take,
        )
        broken: Exception | None = None
        for (index, sample), future in zip(group, futures, strict=True):
            if stopped.is_set():
                return  # nobody waits for the rest
            image: Callable[[], Image] = partial(_raise, broken)
            if broken is None:
                try:
                    image = next(images)
                except Exception as error:  # of the video as a whole
                    broken, image = error, partial(_raise, error)
            make = partial(self._fitted_frame, image)
            future.set_result(self._loaded(index, sample, budget, make))

    def _loaded(
        self, index: int, sample: Sample, budget: Budget, make: Callable[[], Image]
    ) -> Loaded:
        """What `make` gives, or the reason why it gives nothing; keeps only the bytes of the
        image."""
        try:
            image = make()
            loaded = Loaded(
                index, sample, image, look=look_at(image.pixels) if self.looks else None
            )
        except ImageError as error:
            loaded = Loaded(index, sample, error=str(error))
        except MemoryError:
            loaded = Loaded(index, sample, error="not enough memory to decode it")
        except Exception as error:  # one bad image must not end a long run; it becomes a failed row
            loaded = Loaded(index, sample, error=f"{type(error).__name__}: {error}")
        budget.keep(index, 0 if loaded.image is None else loaded.image.pixels.nbytes)
        return loaded

    def _fitted_frame(self, image: Callable[[], Image]) -> Image:
        return self._fit(image())

    def _fit(self, image: Image) -> Image:
        if self.slicing is not None and self.slicing.cuts(image):
            return image
        return fit(image, self.info)

    def _fitted(
        self,
        sample: Sample,
        take: Callable[[int], None],
        fetched: Callable[[], bytes] | None,
    ) -> Image:
        """Takes the bytes of the file before reading and those of the picture before decoding.

        `fetched` waits for a file that is on its way, whose bytes are taken already.
        """

        def opened(size: Size) -> None:
            take(size[0] * size[1] * _BYTES_PER_PX)

        if is_clip(sample):
            from segcli.video.timeline import why_unreadable

            refuse_growing(sample)
            raise ImageError(why_unreadable(clip_file(sample), self.stream))
        if sample.data is None and fetched is None:
            take(sample.size_bytes or 0)
        image = decode(
            read(sample) if fetched is None else fetched(),
            key=sample.key,
            max_pixels=self.max_pixels,
            opened=opened,
            strict=self.strict,
        )
        return self._fit(image)


def _raise(error: Exception | None) -> Image:
    raise error or ImageError("the video cannot be read")
