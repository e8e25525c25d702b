"""A worker on a Ray node: an actor that holds the model and turns chunks into records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from segcli.pipeline.events import Event, Note
from segcli.pipeline.executors.ray_resources import RayResources
from segcli.pipeline.job import Chunk, ChunkPredictor, Job
from segcli.pipeline.progress import Counts
from segcli.pipeline.resources import Resources, queue_bytes
from segcli.pipeline.signals import Stop
from segcli.types import Record

CALLS = 2
"""At a time: a chunk, and a question about it or a stop."""


class Worker:
    """Runs on the node. It commits nothing, so a worker wrongly presumed dead does no harm.

    It is an actor, because a task would load the model each time or get another GPU.
    """

    def __init__(self) -> None:
        self._stop = Stop()
        self._counts = Counts()
        self._notes: list[str] = []
        self._predictor: ChunkPredictor | None = None

    def load(self, job: Job, threads: int, max_memory: int | None) -> tuple[str, str, str]:
        """Load the model; returns device, precision and runtime. Raises UsageError."""
        self._predictor = job.load(job, self._note)
        self._predictor.equip(Resources(threads, queue_bytes(max_memory, workers=1)))
        return self._predictor.device, self._predictor.precision, self._predictor.runtime

    def process(self, chunk: Chunk) -> list[Record]:
        """The records of the samples that were finished before a `halt`; the images stay here."""
        assert self._predictor is not None, "loaded before the first chunk"
        self._counts = Counts()
        records: list[Record] = []
        for batch in self._predictor.batches(chunk, stop=self._stop):
            records += batch
            self._counts += Counts.of(batch)
        return [_without_data(record) for record in records]

    def progress(self) -> tuple[Counts, list[str]]:
        """What is finished of the chunk in hand, and the notes since the last time."""
        notes, self._notes = self._notes, []
        return self._counts, notes

    def halt(self, signum: int) -> None:
        self._stop.signum = signum

    def _note(self, event: Event) -> None:
        if isinstance(event, Note):
            self._notes.append(event.message)


def _without_data(record: Record) -> Record:
    if record.sample.data is None:
        return record
    return replace(record, sample=replace(record.sample, data=None))


def create_actor(ray: Any, resources: RayResources) -> Any:
    """An actor that Ray starts when a node has room for it, and does not start again by itself."""
    make: Callable[..., Any] = ray.remote(
        num_cpus=resources.cpus,
        num_gpus=resources.gpus,
        max_concurrency=CALLS,
        max_restarts=0,
        max_task_retries=0,
    )
    return make(Worker).remote()
