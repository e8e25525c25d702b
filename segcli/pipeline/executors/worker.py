"""A worker process: python -m segcli.pipeline.executors.worker SOCKET PARENT.

It processes chunks until it is ended.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pkgutil
import queue
import signal
import socket
import sys
import threading
import time
import traceback
from dataclasses import dataclass

from segcli.errors import SegcliError
from segcli.pipeline.events import Event, Note
from segcli.pipeline.executors.channel import WorkerChannel
from segcli.pipeline.executors.messages import (
    Begin,
    Begun,
    Did,
    Equip,
    Failed,
    Halt,
    Headway,
    Noted,
)
from segcli.pipeline.job import Chunk, Opener, Performer
from segcli.pipeline.progress import Counts
from segcli.pipeline.resources import bind, queue_bytes
from segcli.pipeline.signals import Stop
from segcli.store import PartWriter, get_ready

TELL_EVERY_S = 0.5
_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Serve the coordinator that holds the other end of the socket, and die with it."""
    own, parent = (int(word) for word in arguments)
    _die_with(parent)
    # A terminal and some schedulers send these to all processes; the coordinator decides.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    get_ready()
    Worker(WorkerChannel(socket.socket(fileno=own))).serve()


def _die_with(parent: int) -> None:
    """Be killed when the coordinator dies, however hung; elsewhere than on Linux `_listen` sees."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


@dataclass(slots=True)
class _Told:
    """What has been counted but not yet told."""

    counts: Counts = Counts()
    at: float = float("-inf")


class Worker:
    """One performer, one chunk at a time; the messages are read by a thread beside it."""

    def __init__(self, post: WorkerChannel) -> None:
        self._post = post
        self._orders: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._stop = Stop()

    def serve(self) -> None:
        """Ends by the end of the process."""
        threading.Thread(target=self._listen, name="listen", daemon=True).start()
        try:
            self._work()
        except SegcliError as error:
            self._post.send(Failed(error))
        except BrokenPipeError:
            pass
        except BaseException as error:
            if os.environ.get("SEGCLI_DEBUG", "0") not in ("", "0"):
                traceback.print_exc()
            self._post.send(Failed(RuntimeError(f"{type(error).__name__}: {error}")))
        # No clean-up: libraries crash in theirs, and everything of worth is on disk.
        os._exit(0)

    def _listen(self) -> None:
        for message in self._post.messages():
            if isinstance(message, Halt):
                self._stop.signum = message.signum
            else:
                self._orders.put(message)
        os._exit(1)  # orphaned: nobody would know of what it did

    def _work(self) -> None:
        begin = self._orders.get()
        assert isinstance(begin, Begin), "the first message says what to begin"
        bind(begin.share)
        opener: Opener = pkgutil.resolve_name(begin.opener)
        performer = opener(begin.job, self._report)
        self._post.send(Begun(performer.device, performer.precision, _devices(performer)))
        writer: PartWriter | None = None
        while True:
            order = self._orders.get()
            if isinstance(order, Equip):
                writer = order.writer
                bind(order.share)
                limit = queue_bytes(order.max_memory, workers=order.workers)
                performer.equip(order.share.means(limit))
            elif isinstance(order, Chunk):
                assert writer is not None, "equipped before the first chunk"
                self._do(performer, order, writer)

    def _do(self, performer: Performer, chunk: Chunk, writer: PartWriter) -> None:
        told = _Told(at=time.monotonic())

        def done(counts: Counts) -> None:
            told.counts += counts
            if time.monotonic() - told.at >= TELL_EVERY_S:
                self._post.send(Headway(told.counts))
                told.counts, told.at = Counts(), time.monotonic()

        self._post.send(Did(performer.do(chunk, writer, stop=self._stop, done=done)))

    def _report(self, event: Event) -> None:
        if isinstance(event, Note):
            self._post.send(Noted(event.message))


def _devices(performer: Performer) -> tuple[str, ...]:
    """Every GPU that this process sees, else what it computes on: what "all" means."""
    if "torch" not in sys.modules:
        return (performer.device,)
    from segcli.models.device import available_devices

    found = tuple(name for name in available_devices() if name != "cpu")
    return found or (performer.device,)


if __name__ == "__main__":
    main(sys.argv[1:])
