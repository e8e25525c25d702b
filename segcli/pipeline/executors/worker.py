"""A worker process: python -m segcli.pipeline.executors.worker SOCKET PARENT.

It processes chunks until it is ended.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import queue
import signal
import socket
import sys
import threading
import time
import traceback

from segcli.errors import SegcliError
from segcli.pipeline.events import Event, Note
from segcli.pipeline.executors.channel import WorkerChannel
from segcli.pipeline.executors.messages import (
    Equip,
    Failed,
    Finished,
    Halt,
    Load,
    Noted,
    Progressed,
    Ready,
)
from segcli.pipeline.job import Chunk, ChunkPredictor, commit
from segcli.pipeline.progress import Counts
from segcli.pipeline.resources import pin, queue_bytes
from segcli.pipeline.signals import Stop
from segcli.store import PartWriter, get_ready
from segcli.types import Record

REPORT_EVERY_S = 0.5
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
    """Be killed when the coordinator dies, even if hung; other systems rely on `_listen`."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


class Worker:
    """One predictor, one chunk at a time; a thread reads the messages meanwhile."""

    def __init__(self, channel: WorkerChannel) -> None:
        self._channel = channel
        self._messages: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._stop = Stop()
        self._number = 0

    def serve(self) -> None:
        """Ends by the end of the process."""
        threading.Thread(target=self._listen, name="listen", daemon=True).start()
        try:
            self._work()
        except SegcliError as error:
            self._channel.send(Failed(self._number, error))
        except BrokenPipeError:
            pass
        except BaseException as error:
            if os.environ.get("SEGCLI_DEBUG", "0") not in ("", "0"):
                traceback.print_exc()
            reason = RuntimeError(f"{type(error).__name__}: {error}")
            self._channel.send(Failed(self._number, reason))
        # No clean-up: libraries may crash in theirs, and all results are on disk.
        os._exit(0)

    def _listen(self) -> None:
        for message in self._channel.messages():
            if isinstance(message, Halt):
                self._stop.signum = message.signum
            else:
                self._messages.put(message)
        os._exit(1)  # orphaned: no coordinator would receive the results

    def _work(self) -> None:
        load = self._messages.get()
        assert isinstance(load, Load), "the first message says what to load"
        self._number = load.worker
        pin(load.share)
        predictor = load.job.load(load.job, self._report)
        numbers = predictor.precision, predictor.runtime
        ready = Ready(self._number, predictor.device, *numbers, _devices(predictor))
        self._channel.send(ready)
        writer: PartWriter | None = None
        while True:
            message = self._messages.get()
            if isinstance(message, Equip):
                writer = message.writer
                pin(message.share)
                limit = queue_bytes(message.max_memory, workers=message.workers)
                predictor.equip(message.share.resources(limit))
            elif isinstance(message, Chunk):
                assert writer is not None, "equipped before the first chunk"
                self._process(predictor, message, writer)

    def _process(self, predictor: ChunkPredictor, chunk: Chunk, writer: PartWriter) -> None:
        records: list[Record] = []
        unreported, reported_at = Counts(), time.monotonic()
        for batch in predictor.batches(chunk, stop=self._stop):
            records += batch
            unreported += Counts.of(batch)
            if time.monotonic() - reported_at >= REPORT_EVERY_S:
                self._channel.send(Progressed(self._number, unreported))
                unreported, reported_at = Counts(), time.monotonic()
        self._channel.send(Finished(self._number, commit(records, chunk, writer)))

    def _report(self, event: Event) -> None:
        if isinstance(event, Note):
            self._channel.send(Noted(self._number, event.message))


def _devices(predictor: ChunkPredictor) -> tuple[str, ...]:
    """The devices of "all": every GPU of this process, or its only device."""
    if "torch" not in sys.modules:
        return (predictor.device,)
    from segcli.models.device import available_devices

    found = tuple(name for name in available_devices() if name != "cpu")
    return found or (predictor.device,)


if __name__ == "__main__":
    main(sys.argv[1:])
