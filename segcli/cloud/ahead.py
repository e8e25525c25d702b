"""Prefetching of requests."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")
_R = TypeVar("_R")


def in_threads(work: Callable[[_T], _R], items: Iterable[_T], threads: int = 16) -> Iterator[_R]:
    """What `work` returns for each item, in order; `threads` of them are begun at a time."""
    begun: deque[Future[_R]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="fetch") as pool:
        try:
            for item in items:
                begun.append(pool.submit(work, item))
                if len(begun) >= threads:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
