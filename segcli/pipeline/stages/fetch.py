"""Fetch encoded images from URLs, many at a time, ahead of the decoders.

A request mostly waits for the server, so there are far more requests than decode threads. Their
bytes are limited by the same budget as decoded images.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from segcli.cloud.urls import is_url
from segcli.errors import ImageError
from segcli.sources import is_clip, read
from segcli.types import Sample

REQUESTS = 32  # at the same time
UNKNOWN_BYTES = 4 << 20  # the assumed size of an object until it is fetched
_LOOK_S = 0.5


@dataclass(slots=True)
class Fetches:
    """Call `close` at the end; it does not wait for requests that are on their way."""

    stopped: threading.Event
    _pool: ThreadPoolExecutor | None = field(default=None)

    def start(
        self, sample: Sample, take: Callable[[int], None], keep: Callable[[int], None]
    ) -> Callable[[], bytes] | None:
        """Begin to fetch the image of a sample; None when it is not behind a URL, or a video.

        The call that is returned waits for the bytes. It raises ImageError. `take(bytes)` waits
        for room before the request, `keep(bytes)` corrects it afterwards.
        """
        if sample.data is not None or is_clip(sample) or not is_url(sample.path):
            return None
        if self._pool is None:
            self._pool = ThreadPoolExecutor(REQUESTS, thread_name_prefix="fetch")
        future = self._pool.submit(_fetch, sample, take, keep)
        return lambda: self._wait(future)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _wait(self, future: Future[bytes]) -> bytes:
        while True:
            try:
                return future.result(_LOOK_S)
            except TimeoutError:
                if self.stopped.is_set():
                    raise ImageError("the run was stopped") from None


def _fetch(sample: Sample, take: Callable[[int], None], keep: Callable[[int], None]) -> bytes:
    take(UNKNOWN_BYTES if sample.size_bytes is None else sample.size_bytes)
    data = read(sample)
    keep(len(data))
    return data
