"""stdin, stdout and stderr that are missing, or that have lost their reader."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


def open_missing() -> None:
    """Open /dev/null for each standard stream that is closed.

    Some daemons start a command without stdin, stdout or stderr. The next file that is opened, a
    lock or a part, would get the stream's number, and what is printed would be written to it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)  # takes the lowest number, which is the stream's
            os.set_inheritable(null, True)
            setattr(sys, name, os.fdopen(null, mode))


@contextmanager
def ended_by_pipe() -> Iterator[None]:
    """A command that prints ends by SIGPIPE when its reader has left, as other Unix tools do."""
    before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        yield
    finally:  # a program that calls `main` may have sockets of its own
        signal.signal(signal.SIGPIPE, before)


@contextmanager
def surviving_pipe() -> Iterator[None]:
    """A long command goes on when its reader has left: what it would print is dropped."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_surviving(stream) for stream in before)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(ValueError):
                stream.flush()
        sys.stdout, sys.stderr = before


class _Pipe(io.FileIO):
    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except BrokenPipeError:
            return len(data)


def _surviving(stream: Any) -> Any:
    try:
        number = stream.fileno()
    except (OSError, ValueError, AttributeError):
        return stream  # a notebook's, or another object that is not a file
    raw = io.BufferedWriter(_Pipe(number, "w", closefd=False))
    return io.TextIOWrapper(
        raw, stream.encoding, stream.errors, line_buffering=True, write_through=True
    )


def silence() -> None:
    """Send stdout to /dev/null; otherwise Python would report its lost reader once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
