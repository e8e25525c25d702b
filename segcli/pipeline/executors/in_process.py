"""A run in this process alone: no other to start, none to outlive a crash."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from segcli.pipeline.chunk import ChunkSize
from segcli.pipeline.events import Report
from segcli.pipeline.job import Chunk, Job, Performer, open_job
from segcli.pipeline.progress import RunProgress
from segcli.pipeline.resources import Resources, default_threads, queue_bytes


@dataclass(slots=True)
class InProcess:
    """The staff of a run that is done in the caller's process."""

    job: Job
    report: Report
    performer: Performer | None = None

    @property
    def device(self) -> str:
        return self.job.device if self.performer is None else self.performer.device

    def prepare(self) -> str:
        """Load the model; returns the precision. Raises UsageError."""
        self.performer = open_job(self.job, self.report)
        return self.performer.precision

    def work(self, account: RunProgress, *, precision: str) -> None:
        """All tasks, one after another, until a stop is requested."""
        size = ChunkSize(self.job.options.chunk_size)
        output = account.work.output
        for task in account.work.tasks(size):
            if account.stop.requested:
                return
            if account.count is None:
                performer = self._equipped(precision)
                account.start(performer.device, performer.precision)
            started = time.monotonic()
            chunk = Chunk(task.samples, task.part, create=not output.inventory.parts)
            account.settle(
                task, performer.do(chunk, output.writer, stop=account.stop, done=account.batch)
            )
            size.measure(len(task.samples), time.monotonic() - started)
            if account.stop.requested:
                return

    def close(self) -> None:
        """There is nothing to end."""

    def _equipped(self, precision: str) -> Performer:
        options = self.job.options
        performer = self.performer
        if performer is None:
            performer = open_job(replace(self.job, precision=precision), self.report)
        threads = options.workers or default_threads()
        performer.equip(Resources(threads, queue_bytes(options.max_memory, workers=1)))
        return performer
