"""A machine that stops at some step on the disk, and a disk that is full, in this process."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from unittest import mock

_STEPS = ("open", "write", "fsync", "rename", "replace", "mkdir", "rmdir", "unlink")


class Killed(BaseException):
    """The machine stops: nothing touches the disk any more."""


@contextmanager
def killed_at(step: int, chance: random.Random) -> Iterator[None]:
    """Before or after that step on the disk, or in the middle of a write."""
    count, how, locks = 0, chance.random(), []

    def patched(name: str) -> Callable[..., Any]:
        original = getattr(os, name)

        def call(*args: Any, **more: Any) -> Any:
            nonlocal count
            count += 1
            if count < step:
                made = original(*args, **more)
                if name == "open" and str(args[0]).endswith(".lock"):
                    locks.append((made, str(args[0])))
                return made
            if count == step and how < 0.5:
                if name == "write":
                    original(args[0], args[1][: len(args[1]) // 2])
                else:
                    original(*args, **more)
            raise Killed

        return call

    try:
        with mock.patch.multiple(os, **{name: patched(name) for name in _STEPS}):
            yield
    finally:
        for fd, path in locks:  # which the end of a process lets go
            with suppress(OSError):
                if os.readlink(f"/proc/self/fd/{fd}").removesuffix(" (deleted)") == path:
                    os.close(fd)


@contextmanager
def full_disk(step: int) -> Iterator[None]:
    """From the given write on."""
    count, original = 0, os.write

    def write(fd: int, data: Any) -> int:
        nonlocal count
        count += 1
        if count >= step:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(fd, data)

    with mock.patch.object(os, "write", write):
        yield
