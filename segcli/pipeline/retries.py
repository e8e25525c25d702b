"""Retries of chunks whose worker died."""

from __future__ import annotations

from dataclasses import dataclass

from segcli.errors import NothingDone
from segcli.pipeline.events import Note
from segcli.pipeline.job import Chunk, Outcome, commit
from segcli.pipeline.progress import Counts, RunProgress
from segcli.pipeline.task_list import Task, TaskQueue
from segcli.types import Record

GIVE_UP_AFTER = 8  # images that each killed a worker before one succeeded


@dataclass(slots=True)
class Retries:
    """Decides what to retry after a worker died; no image is lost or written twice."""

    progress: RunProgress
    queue: TaskQueue
    _fatal_images: int = 0

    def after_death(self, task: Task, worker: int, reason: str) -> None:
        """`worker`, which had the task, is dead and can no longer change the output.

        Raises NothingDone if every image kills its worker.
        """
        progress = self.progress
        progress.lose(worker)
        if task.part is None and self._was_committed(task, worker):
            return
        if progress.stop.requested:
            progress.tasks.drop(task)
            return
        fatal = self.queue.give_back(task)
        if fatal is None:
            how = "once more" if len(task.samples) == 1 or not task.deaths else "in halves"
            progress.report(
                Note(
                    f"a worker died over {len(task.samples)} image(s) ({reason}); they are done "
                    f"{how} by the next"
                )
            )
            return
        self._commit_failure(fatal, worker, reason)

    def _was_committed(self, task: Task, worker: int) -> bool:
        """The worker died after the commit, before its report; a retry would write rows twice."""
        writer = self.progress.tasks.output.writer
        found = writer.find([sample.key for sample in task.samples])
        if found is None:
            return False
        name, footer, failures = found
        counts = Counts(footer.images, footer.masks, footer.failed, static=footer.static)
        self.progress.finish(task, Outcome(name, counts, failures=failures), worker)
        return True

    def _commit_failure(self, task: Task, worker: int, reason: str) -> None:
        """A failed row for the image that kills every worker."""
        progress, output = self.progress, self.progress.tasks.output
        self._fatal_images += 1
        if self._fatal_images >= GIVE_UP_AFTER and not progress.succeeded:
            raise NothingDone(
                f"each of the first {self._fatal_images} images killed its worker process "
                f"({reason}); the images are not the cause, so no more rows were written for them"
            )
        (sample,) = task.samples
        error = f"this image killed its worker process more than once: {reason}"
        records = [Record(sample, None, None, error=error)]
        chunk = Chunk(task.samples, task.part, create=not output.inventory.parts)
        progress.finish(task, commit(records, chunk, output.writer), worker)
