"""Stop requests: Ctrl-C, SIGTERM or the end of the run's time; work stops between two batches."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass(slots=True)
class Stop:
    """`signum` is None until a stop is requested, and SIGTERM when the time of the run is over."""

    signum: int | None = None
    is_out_of_time: bool = False

    @property
    def requested(self) -> bool:
        return self.signum is not None

    def end_of_time(self) -> None:
        """Request a stop, unless one has been requested."""
        if not self.requested:
            self.is_out_of_time, self.signum = True, signal.SIGTERM


@contextmanager
def stop_after(stop: Stop, seconds: float | None) -> Iterator[None]:
    """Request a stop after `seconds`, at once when they are over already; None: never."""
    if seconds is None:
        yield
        return
    if seconds <= 0:
        stop.end_of_time()
    timer = threading.Timer(max(seconds, 0.0), stop.end_of_time)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Turn SIGINT and SIGTERM into a stop request; a second one ends the process at once.

    Outside the main thread signals cannot be caught, so no stop is requested there.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(signum: int, frame: FrameType | None) -> None:
        if stop.requested and not stop.is_out_of_time:
            # No clean-up: a thread may hang in a driver. The next run removes what was staged.
            os._exit(128 + signum)
        stop.is_out_of_time, stop.signum = False, signum

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    # nohup and background jobs of plain shells ignore SIGINT, and so does segcli then.
    caught = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    for number in caught:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number in caught:
            signal.signal(number, before[number])
