"""A worker on a Ray node: an actor that holds the model and turns chunks into records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from segcli.pipeline.events import Event, Note
from segcli.pipeline.executors.ray_resources import RayResources
from segcli.pipeline.job import Chunk, Job, Predictor, open_job
from segcli.pipeline.progress import Counts
from segcli.pipeline.resources import Resources, queue_bytes
from segcli.pipeline.signals import Stop
from segcli.pipeline.task_list import Task
from segcli.types import Record

BESIDE = 2
"""Calls at a time: a chunk, and a word beside it."""


class Worker:
    """What runs on the node. It commits nothing, so that one that is taken for dead harms nobody.

    An actor and not a task: a task would load the model each time, or meet another's GPU.
    """

    def __init__(self) -> None:
        self._stop = Stop()
        self._counts = Counts()
        self._notes: list[str] = []
        self._predictor: Predictor | None = None

    def begin(self, job: Job, threads: int) -> tuple[str, str]:
        """Load the model; returns device and precision. Raises UsageError."""
        self._predictor = open_job(job, self._note)
        waiting = queue_bytes(job.options.max_memory, workers=1)
        self._predictor.equip(Resources(threads, waiting))
        return self._predictor.device, self._predictor.precision

    def do(self, chunk: Chunk) -> list[Record]:
        """The records of the samples that were finished before a `halt`; the images stay here."""
        assert self._predictor is not None, "begun before the first chunk"
        self._counts = Counts()
        records = self._predictor.records(chunk, stop=self._stop, done=self._done)
        return [_without_data(record) for record in records]

    def told(self) -> tuple[Counts, list[str]]:
        """What is finished of the chunk in hand, and notes since the last time."""
        notes, self._notes = self._notes, []
        return self._counts, notes

    def halt(self, signum: int) -> None:
        self._stop.signum = signum

    def _done(self, counts: Counts) -> None:
        self._counts += counts

    def _note(self, event: Event) -> None:
        if isinstance(event, Note):
            self._notes.append(event.message)


def _without_data(record: Record) -> Record:
    if record.sample.data is None:
        return record
    return replace(record, sample=replace(record.sample, data=None))


@dataclass(slots=True)
class RayWorker:
    """The coordinator's side of a worker: `call` is awaited, `task` in hand, `beat` on its way.

    `counts` of the chunk are told already; `since` (monotonic) the last sign of headway.
    """

    number: int
    actor: Any
    call: Any
    since: float
    is_ready: bool = False
    task: Task | None = None
    given: float = 0.0
    beat: Any = None
    counts: Counts = Counts()


def hire(ray: Any, slots: RayResources) -> Any:
    """An actor that Ray starts when a node has room for it, and does not start again by itself."""
    make: Callable[..., Any] = ray.remote(
        num_cpus=slots.cpus,
        num_gpus=slots.gpus,
        max_concurrency=BESIDE,
        max_restarts=0,
        max_task_retries=0,
    )
    return make(Worker).remote()
