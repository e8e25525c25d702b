"""The executor that runs each worker in a process on this machine."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace

from segcli.pipeline.executors.channel import Channel
from segcli.pipeline.executors.messages import (
    Dying,
    Equip,
    Failed,
    Halt,
    Load,
    Lost,
    Ready,
    WorkerEvent,
)
from segcli.pipeline.job import Chunk, Job
from segcli.pipeline.options import PredictOptions
from segcli.pipeline.placement import ALL, Placement, kinds, parse_devices, plan
from segcli.store import Output

CLOSE_S = 10.0
_TICK_S = 0.2
_DYING_TICK_S = 0.02


@dataclass(slots=True)
class WorkerProcess:
    """A process and the channel to it; `is_open` until the channel has come to its end.

    `reason`: why it was killed, if it was.
    """

    number: int
    process: subprocess.Popen[bytes]
    channel: Channel
    is_open: bool = True
    is_equipped: bool = False
    is_dying: bool = False
    reason: str | None = None

    @property
    def is_gone(self) -> bool:
        """Whether the process has died and is reaped."""
        return self.process.poll() is not None

    @property
    def ending(self) -> str:
        return self.reason or _ending(self.process.returncode)


class ProcessPool:
    """One worker for each device and replica, started as a fresh process (torch has threads).

    Workers inherit the locks of the output and die with this process, so none of them can commit
    during the next run. A death is detected by the end of the channel; Lost is reported only after
    the process has been reaped.
    """

    hang_limit_s: float | None = None
    may_wait = False

    def __init__(self, job: Job, options: PredictOptions) -> None:
        self.job = job
        self._options = options
        self._devices = parse_devices(options.device)
        self._replicas = max(1, options.replicas)
        self._placements: list[Placement] = []
        self._processes: dict[int, WorkerProcess] = {}
        self._ready: Ready | None = None
        self._output: Output | None = None
        self._selector = selectors.DefaultSelector()
        if job.precision == "auto" and len(kinds(self._devices)) > 1:
            # What one kind of device computes in, another may not have.
            self.job = replace(job, precision="float32", runtime="torch")
        self._place()

    @property
    def device(self) -> str:
        names = self._devices
        if self._ready is not None and len(names) == 1:
            names = (self._ready.device,)
        text = ", ".join(names)
        return text if self._replicas == 1 else f"{text} ({self._replicas} workers each)"

    def slots(self) -> int:
        return len(self._placements)

    def attach(self, output: Output) -> None:
        self._output = output

    def start(self, worker: int) -> None:
        placement = self._placements[worker]
        ours, theirs = socket.socketpair()
        with theirs:
            found = WorkerProcess(worker, _start(theirs.fileno()), Channel(ours))
        self._processes[worker] = found
        self._selector.register(found.channel, selectors.EVENT_READ, found)
        job = replace(self.job, device=placement.device)
        found.channel.send(Load(worker, job, placement.share))

    def submit(self, worker: int, chunk: Chunk) -> None:
        found, output = self._processes[worker], self._output
        assert output is not None, "attached"
        if not found.is_equipped:
            found.is_equipped = True
            share, memory = self._placements[worker].share, self._options.max_memory
            equip = Equip(output.writer, share, len(self._placements), memory)
            found.channel.send(equip, output.lock_fds)
        found.channel.send(chunk)

    def wait(self) -> Generator[WorkerEvent]:
        for found in self._processes.values():
            if found.is_open:
                writing = selectors.EVENT_WRITE if found.channel.is_waiting else 0
                if self._selector.get_key(found.channel).events != selectors.EVENT_READ | writing:
                    self._selector.modify(found.channel, selectors.EVENT_READ | writing, found)
        is_dying = any(found.is_dying for found in self._processes.values())
        for key, ready in self._selector.select(_DYING_TICK_S if is_dying else _TICK_S):
            if ready & selectors.EVENT_WRITE:
                key.data.channel.flush()
            if ready & selectors.EVENT_READ:
                yield from self._receive(key.data)
        for found in list(self._processes.values()):
            if found.is_dying and found.is_gone:
                yield from self._receive(found)  # what it sent before it died
                self._forget(found)
                yield Lost(found.number, found.ending)

    def stop(self, worker: int, signum: int) -> None:
        if worker in self._processes:
            self._processes[worker].channel.send(Halt(signum))

    def kill(self, worker: int, reason: str | None = None) -> None:
        """Ends the process; it is gone some time later."""
        if (found := self._processes.get(worker)) is not None:
            found.reason = found.reason or reason
            found.is_dying = True
            found.process.kill()

    def close(self) -> bool:
        """Kills every worker; False when one cannot die, because it hangs in the kernel."""
        for number in self._processes:
            self.kill(number)
        deadline = time.monotonic() + CLOSE_S
        while self._processes and time.monotonic() < deadline:
            for found in list(self._processes.values()):
                if found.is_gone:
                    self._forget(found)
            if self._processes:
                time.sleep(_DYING_TICK_S / 4)
        self._selector.close()
        return not self._processes

    def _place(self) -> None:
        """A placement for each worker; for "all" only one, until its worker knows the devices."""
        devices: tuple[str, ...] = self._devices
        if devices == (ALL,):
            if self._ready is None:
                share = plan(["auto"], 1, decode_threads=None)[0].share
                self._placements = [Placement("auto", share)]
                return
            devices = self._devices = self._ready.devices
        self._placements = plan(devices, self._replicas, decode_threads=self._options.workers)

    def _receive(self, found: WorkerProcess) -> Iterator[WorkerEvent]:
        """What has come; the end of the channel is the end of its worker."""
        if not found.is_open:
            return
        try:
            for message in found.channel.receive():
                assert isinstance(message, WorkerEvent), message
                if isinstance(message, Ready) and self._ready is None:
                    self._ready = message
                    precision, runtime = message.precision, message.runtime
                    self.job = replace(self.job, precision=precision, runtime=runtime)
                    self._place()
                if isinstance(message, Failed):
                    found.reason = found.reason or str(message.error)
                yield message
        except EOFError:
            self._close_channel(found)
            self.kill(found.number)  # whatever is left of it
            yield Dying(found.number)

    def _close_channel(self, found: WorkerProcess) -> None:
        if found.is_open:
            found.is_open = False
            self._selector.unregister(found.channel)
            found.channel.close()

    def _forget(self, found: WorkerProcess) -> None:
        self._close_channel(found)
        del self._processes[found.number]


def _start(fd: int) -> subprocess.Popen[bytes]:
    """A process that serves the socket `fd`."""
    module = "segcli.pipeline.executors.worker"
    return subprocess.Popen(
        # -P: no module from the current folder
        [sys.executable, "-P", "-m", module, str(fd), str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=2,  # stdout is for the summary and the JSON lines
        pass_fds=[fd],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )


def _ending(code: int) -> str:
    if code >= 0:
        return f"it ended with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    known = {"SIGSEGV": "segmentation fault", "SIGKILL": "killed, possibly out of memory"}
    return f"{name} ({known[name]})" if name in known else name
