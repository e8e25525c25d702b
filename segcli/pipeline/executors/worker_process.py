"""A worker's seat: the process that sits there now, what it has in hand, and its end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from segcli.pipeline.executors.channel import Channel
from segcli.pipeline.executors.messages import Begin, Equip, Halt
from segcli.pipeline.job import Chunk
from segcli.pipeline.placement import Placement
from segcli.pipeline.task_list import Task


@dataclass(slots=True)
class WorkerProcess:
    """`number` among the seats of a run. A dead worker is followed by another in the same seat.

    `task` is in hand, given at `given`; `since` then was the last headway (monotonic seconds).
    `is_heard` while its link has not come to its end. `failed_starts` have come to nothing since
    one was last ready; `ending` tells how the last process ended, `last_words` what it said.
    """

    number: int
    place: Placement
    task: Task | None = None
    is_ready: bool = False
    is_equipped: bool = False
    is_heard: bool = False
    has_been_ready: bool = False
    is_dying: bool = False
    given: float = 0.0
    since: float = 0.0
    failed_starts: int = 0
    last_words: str | None = None
    ending: str = ""
    link: Channel | None = None
    _process: subprocess.Popen[bytes] | None = None

    @property
    def is_empty(self) -> bool:
        return self._process is None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def start(self, begin: Begin) -> None:
        """Start a process; it says when its model is loaded."""
        assert self._process is None, "the seat is taken"
        ours, theirs = socket.socketpair()
        with theirs:
            fd = theirs.fileno()
            self._process = subprocess.Popen(
                # -P: no module from the current folder
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "segcli.pipeline.executors.worker",
                    str(fd),
                    str(os.getpid()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=2,  # stdout is for the summary and the JSON lines
                pass_fds=[fd],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
            )
        self.link = Channel(ours)
        self.since = time.monotonic()
        self.link.send(begin)

    def equip(self, equip: Equip, lock_fds: Sequence[int]) -> None:
        self._send(equip, lock_fds)
        self.is_equipped = True

    def give(self, task: Task, chunk: Chunk) -> None:
        self.task = task
        self.given = self.since = time.monotonic()
        self._send(chunk)

    def halt(self, signum: int) -> None:
        self._send(Halt(signum))

    def messages(self) -> Iterator[object]:
        """Those that have come; raises EOFError when the process has gone or is about to."""
        assert self.link is not None
        yield from self.link.receive()

    def kill(self, why: str | None = None) -> None:
        """Kill the process, dead or alive; `is_gone` tells when it is."""
        if self._process is not None:
            self.last_words = self.last_words or why
            self.is_dying = True
            self._process.kill()

    @property
    def is_gone(self) -> bool:
        """Whether the process has died and is reaped."""
        return self._process is None or self._process.poll() is not None

    def clear(self) -> None:
        """Empty the seat of a process that is gone; `ending` tells why it is."""
        assert self._process is not None, "somebody sat there"
        self.ending = self.last_words or _ending(self._process.returncode)
        self.is_ready = self.is_equipped = self.is_dying = False
        self._process = self.last_words = None
        if self.link is not None:
            self.link.close()
            self.link = None

    def _send(self, message: object, fds: Sequence[int] = ()) -> None:
        assert self.link is not None, "nobody sits there"
        self.link.send(message, fds)


def _ending(code: int) -> str:
    if code >= 0:
        return f"it ended with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    told = {"SIGSEGV": "segmentation fault", "SIGKILL": "killed, by somebody or for its memory"}
    return f"{name} ({told[name]})" if name in told else name
