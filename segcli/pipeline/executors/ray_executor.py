"""The executor that runs workers on the nodes of a Ray cluster.

A worker sends its records to this process, which commits them. Only the first records of a chunk
are committed, so a chunk may be tried several times, even if another worker still processes it.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import Any

from segcli.errors import SegcliError, UsageError
from segcli.pipeline.executors.messages import (
    Failed,
    Finished,
    Lost,
    Noted,
    Progressed,
    Ready,
    WorkerEvent,
)
from segcli.pipeline.executors.ray_resources import RayResources, check_device, find_resources
from segcli.pipeline.executors.ray_worker import create_actor
from segcli.pipeline.job import Chunk, Job, commit
from segcli.pipeline.options import PredictOptions
from segcli.pipeline.progress import Counts
from segcli.store import Output

HUNG_S = 600.0  # without a finished batch; a network in between may be slow for a while
PATIENCE_S = 30.0  # without any worker, before that is reported
_TICK_S = 0.5
_LOOK_S = 5.0  # nodes come and go
_HINT = "(segcli must be installed on every node)"


@dataclass(slots=True)
class RayWorker:
    """The coordinator's side of a worker: `call` is awaited, `question` asks how far it is.

    `counts` of the chunk in hand are reported already.
    """

    number: int
    actor: Any
    call: Any
    is_ready: bool = False
    chunk: Chunk | None = None
    question: Any = None
    counts: Counts = Counts()


class RayExecutor:
    """Workers on the cluster that RAY_ADDRESS, or this machine, leads to."""

    hang_limit_s: float | None = HUNG_S
    may_wait = True  # a cluster without room may grow

    def __init__(self, job: Job, options: PredictOptions) -> None:
        check_device(options.device)
        self.job = job
        self._options = options
        self._ray: Any = None
        self._resources = RayResources(1, 1, 0)
        self._looked = float("-inf")
        self._waiting_since: float | None = time.monotonic()
        self._workers: dict[int, RayWorker] = {}
        self._lost: list[Lost] = []
        self._ready: Ready | None = None
        self._output: Output | None = None

    @property
    def device(self) -> str:
        ready = self._ready
        name = self._options.device if ready is None else ready.device.partition(":")[0]
        return f"{name} (Ray)"

    def slots(self) -> int:
        """As many workers as the living nodes have room for."""
        if self._ray is None:
            self._ray = connect()
        if time.monotonic() - self._looked > _LOOK_S:
            self._looked = time.monotonic()
            self._resources = find_resources(
                self._ray.nodes(),
                self._options.device,
                replicas=max(1, self._options.replicas),
                cpus=self._options.workers,
            )
        return self._resources.count

    def attach(self, output: Output) -> None:
        self._output = output

    def start(self, worker: int) -> None:
        resources = self._resources
        actor = create_actor(self._ray, resources)
        job = replace(self.job, device=resources.device)
        call = actor.load.remote(job, resources.threads, self._options.max_memory)
        self._workers[worker] = RayWorker(worker, actor, call)

    def submit(self, worker: int, chunk: Chunk) -> None:
        found = self._workers[worker]
        found.chunk, found.counts = chunk, Counts()
        found.call = found.actor.process.remote(chunk)

    def wait(self) -> Generator[WorkerEvent]:
        yield from self._impatient()
        calls = {w.call: w for w in self._workers.values() if w.call is not None}
        if self._lost:
            pass
        elif calls:
            ready, _ = self._ray.wait(list(calls), num_returns=1, timeout=_TICK_S)
            for call in ready:
                yield from self._receive(calls[call])
        else:
            time.sleep(_TICK_S)
        for worker in list(self._workers.values()):
            if worker.chunk is not None:
                yield from self._ask(worker)
        lost, self._lost = self._lost, []
        yield from lost

    def stop(self, worker: int, signum: int) -> None:
        if worker in self._workers:
            self._workers[worker].actor.halt.remote(signum)

    def kill(self, worker: int, reason: str | None = None) -> None:
        """Ends the actor; whatever it answers later is not awaited any more."""
        if (found := self._workers.pop(worker, None)) is not None:
            self._ray.kill(found.actor)
            self._looked = float("-inf")
            self._lost.append(Lost(worker, reason or "it was ended"))

    def close(self) -> bool:
        for worker in list(self._workers):
            self.kill(worker)
        if self._ray is not None:
            self._ray.shutdown()
            self._ray = None
        return True

    def _impatient(self) -> Iterator[WorkerEvent]:
        """Report once what the run waits for: a full cluster may grow."""
        since = self._waiting_since
        if self._ready is None and since is not None and time.monotonic() - since > PATIENCE_S:
            self._waiting_since = None
            each = f"{self._resources.cpus:g} CPU, {self._resources.gpus:g} GPU"
            yield Noted(
                0, f"no worker is loaded yet: waiting for Ray to find room for one ({each})"
            )

    def _receive(self, worker: RayWorker) -> Iterator[WorkerEvent]:
        """A call of the worker has ended, with or without an error."""
        try:
            answer = self._ray.get(worker.call)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, SegcliError):
                yield Failed(worker.number, error.cause)
                self._end(worker, str(error.cause))
            else:
                self._end(worker, f"{type(error.cause).__name__}: {error.cause}")
        except self._ray.exceptions.RayError as error:
            self._end(worker, _first_line(error))
        else:
            worker.call = None
            if not worker.is_ready:
                worker.is_ready = True
                yield self._loaded(worker, *answer)
            elif worker.chunk is not None:
                assert self._output is not None, "attached"
                chunk, worker.chunk = worker.chunk, None
                # The only place where rows from a cluster are committed.
                yield Finished(worker.number, commit(answer, chunk, self._output.writer))

    def _loaded(self, worker: RayWorker, device: str, precision: str, runtime: str) -> Ready:
        ready = Ready(worker.number, device, precision, runtime)
        if self._ready is None:
            self._ready = ready
            self.job = replace(self.job, precision=precision, runtime=runtime)
        return ready

    def _ask(self, worker: RayWorker) -> Iterator[WorkerEvent]:
        """Ask how far it is, without waiting for the answer."""
        if worker.question is None:
            worker.question = worker.actor.progress.remote()
        elif self._ray.wait([worker.question], timeout=0)[0]:
            try:
                counts, notes = self._ray.get(worker.question)
            except self._ray.exceptions.RayError:
                return  # the other call reports its death
            worker.question = None
            yield from (Noted(worker.number, note) for note in notes)
            if counts.images > worker.counts.images:
                more, worker.counts = counts - worker.counts, counts
                yield Progressed(worker.number, more)

    def _end(self, worker: RayWorker, reason: str) -> None:
        self.kill(worker.number, reason if worker.is_ready else f"{reason} {_HINT}")


def connect() -> Any:
    """Join the cluster at RAY_ADDRESS, the one that was started on this machine, or a new one."""
    try:
        import ray
    except ImportError:
        raise UsageError(
            "`engine='ray'` needs Ray, which is not installed: pip install 'segcli[ray]', here and "
            "on every node"
        ) from None
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ray.init(
            log_to_driver=os.environ.get("SEGCLI_DEBUG", "0") not in ("", "0"),
            logging_level=logging.ERROR,
            configure_logging=False,
        )
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise UsageError(
            f"`engine='ray'`: there is no cluster to join ({_first_line(error)}); start one with "
            f"`ray start --head`, or set RAY_ADDRESS to its address"
        ) from None
    finally:
        for number, handler in before.items():  # SIGTERM is ours: it commits what is done
            signal.signal(number, handler)
    return ray


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]
