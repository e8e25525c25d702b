"""Handling of stdin, stdout and stderr that are closed, or whose reader has exited."""

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

    Some daemons start a command without stdin, stdout or stderr. The next file to be opened, such
    as a lock or a part, would get the number of the stream, and messages would be written to it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)  # takes the lowest number, which is the stream's
            os.set_inheritable(null, True)
            setattr(sys, name, os.fdopen(null, mode))


def shows_bars() -> bool:
    """Whether stderr is a terminal that can draw over its lines; one with TERM=dumb cannot."""
    return sys.stderr.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


@contextmanager
def ended_by_pipe() -> Iterator[None]:
    """A command that prints ends by SIGPIPE if its reader exits, like other Unix tools."""
    before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        yield
    finally:  # a program that calls `main` may use sockets
        signal.signal(signal.SIGPIPE, before)


@contextmanager
def surviving_pipe() -> Iterator[None]:
    """A long command continues if its reader exits; its output is discarded."""
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
        return stream  # of a notebook, or another object that is not a file
    raw = io.BufferedWriter(_Pipe(number, "w", closefd=False))
    return io.TextIOWrapper(
        raw, stream.encoding, stream.errors, line_buffering=True, write_through=True
    )


def silence() -> None:
    """Redirect stdout to /dev/null; otherwise Python would report the closed pipe again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
