"""Assigns the tasks of a run to workers, and handles workers that die or hang."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

from segcli.errors import NothingDone, SegcliError, WorkersLost
from segcli.pipeline.chunk_size import ChunkSize
from segcli.pipeline.events import Loading, Note, Report
from segcli.pipeline.executors.messages import (
    Dying,
    Failed,
    Finished,
    Lost,
    Noted,
    Progressed,
    Ready,
    WorkerEvent,
)
from segcli.pipeline.hang_detector import HangDetector
from segcli.pipeline.job import Chunk, Job
from segcli.pipeline.options import PredictOptions
from segcli.pipeline.progress import RunProgress
from segcli.pipeline.retries import Retries
from segcli.pipeline.task_list import Task, TaskQueue
from segcli.store import Output

GIVE_UP_AFTER = 3  # failed starts of a worker in a row
MOST_BYTES = 256 << 20  # of encoded images from a manifest, in all current chunks
LEAST_BYTES = 8 << 20  # and in one of them


class Executor(Protocol):
    """Where workers run. Workers are numbered from 0.

    `wait` returns the events of the workers in order. The last event of a worker is Lost; after it,
    the worker can no longer change the output.
    """

    job: Job
    hang_limit_s: float | None  # without a finished batch; None: by the speed so far
    may_wait: bool  # whether a start may wait for room as long as it takes

    @property
    def device(self) -> str:
        """The devices of the run, as far as they are known; recorded in the parts."""
        ...

    def slots(self) -> int:
        """The number of workers that can run now, at least one."""
        ...

    def attach(self, output: Output) -> None:
        """Prepare to receive chunks, which are committed to `output`. Called once."""
        ...

    def start(self, worker: int) -> None:
        """Start a worker, which loads the model. Raises UsageError."""
        ...

    def submit(self, worker: int, chunk: Chunk) -> None:
        """Give a chunk to a worker that is ready and has none."""
        ...

    def wait(self) -> Generator[WorkerEvent]:
        """The events since the last call; waits a little if there are none."""
        ...

    def stop(self, worker: int, signum: int) -> None:
        """Let the worker commit the finished part of its chunk."""
        ...

    def kill(self, worker: int, reason: str | None = None) -> None:
        """End a worker, whatever it does; Lost follows."""
        ...

    def close(self) -> bool:
        """End all workers; False when one cannot be ended. May be called again."""
        ...


@dataclass(slots=True)
class Worker:
    """The dispatcher's view of a worker. A worker that dies is replaced by one of its number.

    `task` is its current task, given at `given`; it has finished no batch `since` then (monotonic
    seconds). `failed_starts` counts since it was last ready; `ending`: why the last one ended.
    """

    number: int
    may_wait: bool = False
    task: Task | None = None
    is_running: bool = False
    is_ready: bool = False
    has_been_ready: bool = False
    is_dying: bool = False
    given: float = 0.0
    since: float = 0.0
    failed_starts: int = 0
    ending: str = ""


class Dispatcher:
    """Of one run: `load` at most, then `run`."""

    def __init__(self, executor: Executor, options: PredictOptions, report: Report) -> None:
        self.executor = executor
        self.workers: dict[int, Worker] = {}
        self._report = report
        self._ready: Ready | None = None
        self._progress: RunProgress | None = None
        self._retries: Retries | None = None
        self._is_loading = self._is_stopping = False
        self._size = ChunkSize(options.chunk_size)
        self._hangs = HangDetector(options.chunk_timeout or executor.hang_limit_s)

    def load(self) -> Ready:
        """Let the first worker load its model; returns what it reports. Raises UsageError."""
        while self._ready is None:
            self._start_missing(most=1)
            self._wait()
        return self._ready

    def run(self, progress: RunProgress) -> None:
        """Run all tasks, until a stop is requested; all workers have ended afterwards.

        Loads a model only if there is a task, and while the rest of the first one is listed. Raises
        UsageError if a worker's device or memory is not available, OutputError, NothingDone if the
        model or the workers fail on everything, and WorkersLost if no worker can be started.
        """
        output = progress.tasks.output
        progress.tasks.on_first = self._start_missing
        queue = TaskQueue(progress.tasks.tasks(self._size))
        self._progress, self._retries = progress, Retries(progress, queue)
        self.executor.attach(output)
        try:
            while self._is_busy() or not (progress.stop.requested or queue.is_empty):
                if not progress.stop.requested:
                    self._start_missing()
                    self._hand_out(progress, queue)
                    if self._size.is_known:
                        queue.list_ahead()
                self._wait()
        finally:
            progress.tasks.listing.close()
            if self.executor.close():
                # Remove the staging of killed workers; no worker is left that could write there.
                output.writer.place.clear(everything=True)

    def _start_missing(self, most: int | None = None) -> None:
        """As many workers as there is room for."""
        slots = self.executor.slots()
        if self._progress is not None:
            # Each worker has a task in hand, and this process holds them all until the commit.
            tasks = self._progress.tasks
            tasks.most_bytes = max(LEAST_BYTES, min(tasks.most_bytes, MOST_BYTES // slots))
        for number in range(min(slots, most or slots)):
            worker = self.workers.setdefault(number, Worker(number, self.executor.may_wait))
            if worker.is_running or worker.failed_starts >= GIVE_UP_AFTER:
                continue
            if not self._is_loading:
                self._is_loading = True
                described = self.executor.job.described
                self._report(Loading(described.model, described.weights.name))
            self.executor.start(number)
            worker.is_running, worker.since = True, time.monotonic()
        if not any(worker.is_running for worker in self.workers.values()):
            raise WorkersLost(
                f"no worker can be started: {self.workers[0].ending}; committed work is complete: "
                f"fix the cause, then run the same command again"
            )

    def _hand_out(self, progress: RunProgress, queue: TaskQueue) -> None:
        """A chunk for every worker that has none."""
        if self._ready is None:
            return
        if not progress.is_started:
            progress.start(self.executor.device, self._ready.precision, self._ready.runtime)
        for worker in self.workers.values():
            if not worker.is_ready or worker.task is not None or worker.is_dying:
                continue
            self._size.share_out(progress.left, len(self.workers))
            task = queue.take(self._busy_parts())
            if task is None:
                return
            worker.task = task
            worker.given = worker.since = time.monotonic()
            chunk = Chunk(
                task.samples,
                task.part,
                create=not progress.tasks.output.inventory.parts,
                proven=progress.succeeded > 0,
                begun=time.time(),
            )
            self.executor.submit(worker.number, chunk)

    def _stop_if_requested(self) -> None:
        """Working workers finish their batch; the others are ended at once."""
        signum = None if self._progress is None else self._progress.stop.signum
        if signum is None or self._is_stopping:
            return
        self._is_stopping = True
        for worker in self.workers.values():
            if worker.task is not None:
                self.executor.stop(worker.number, signum)
            elif worker.is_running:
                self._kill(worker)

    def _wait(self) -> None:
        """Handle what the workers have done, and end those that hang."""
        self._stop_if_requested()
        with closing(self.executor.wait()) as events:
            for event in events:
                self._handle(event)
                self._stop_if_requested()
        for worker, reason in self._hangs.hung(self.workers.values()):
            self._kill(worker, reason)

    def _kill(self, worker: Worker, reason: str | None = None) -> None:
        worker.is_dying = True
        self.executor.kill(worker.number, reason)

    def _handle(self, event: WorkerEvent) -> None:
        worker, progress = self.workers[event.worker], self._progress
        match event:
            case Ready():
                worker.is_ready = worker.has_been_ready = True
                worker.failed_starts = 0
                self._ready = self._ready or event
            case Progressed() if progress is not None:
                self._hangs.headway(worker)
                progress.batch(event.counts, worker.number)
            case Finished() if progress is not None and worker.task is not None:
                self._hangs.headway(worker)
                task, worker.task = worker.task, None
                self._size.measure(len(task.samples), time.monotonic() - worker.given)
                progress.finish(task, event.outcome, worker.number)
            case Noted():
                self._report(Note(event.message))
            case Failed():
                self._fail(worker, event.error)
            case Dying():
                worker.is_dying = True
            case Lost():
                self._lose(worker, event.reason)

    def _fail(self, worker: Worker, error: Exception) -> None:
        """The error that ends a worker: it ends the run, or costs that worker only."""
        if isinstance(error, NothingDone) and self._progress and self._progress.succeeded:
            return  # other workers have processed images, so its images caused the error
        if isinstance(error, WorkersLost):
            return  # the device may work for another worker
        # A device that fails during the run affects only its own workers.
        if isinstance(error, SegcliError) and (worker.is_ready or not worker.has_been_ready):
            raise error

    def _lose(self, worker: Worker, reason: str) -> None:
        """The worker is gone; its task is given to another."""
        was_ready, task = worker.is_ready, worker.task
        worker.is_running = worker.is_ready = worker.is_dying = False
        worker.task, worker.ending = None, reason
        if not was_ready:
            worker.failed_starts += 1
            if worker.failed_starts == GIVE_UP_AFTER:
                self._report(
                    Note(
                        f"worker {worker.number} cannot be started, continuing without it: {reason}"
                    )
                )
        if task is not None and self._retries is not None:
            self._retries.after_death(task, worker.number, reason)

    def _is_busy(self) -> bool:
        return any(worker.task is not None for worker in self.workers.values())

    def _busy_parts(self) -> set[str]:
        tasks = [worker.task for worker in self.workers.values() if worker.task is not None]
        return {task.part for task in tasks if task.part is not None}
