"""What becomes of the chunk over which a worker died."""

from __future__ import annotations

from dataclasses import dataclass

from segcli.errors import NothingDone
from segcli.pipeline.events import Note
from segcli.pipeline.job import Chunk, Outcome, commit
from segcli.pipeline.progress import Counts, RunProgress
from segcli.pipeline.task_list import Pending, Task
from segcli.types import Record

GIVE_UP_AFTER = 8  # images that killed a worker each before a single one was done


@dataclass(slots=True)
class Retries:
    """Of one run; nothing is lost and nothing doubled by them."""

    account: RunProgress
    todo: Pending
    _poisonous: int = 0

    def over(self, task: Task, worker: int, reason: str) -> None:
        """`worker` is dead and reaped, and had the task in hand.

        Raises NothingDone when the workers die of everything.
        """
        account = self.account
        account.tally.settle(Counts(), worker)
        if task.part is None and self._was_committed(task, worker):
            return
        if account.stop.requested:
            account.work.drop(task)
            return
        poison = self.todo.give_back(task)
        if poison is None:
            what = "once more" if len(task.samples) == 1 or not task.deaths else "in halves"
            account.report(
                Note(
                    f"a worker died over {len(task.samples)} image(s) ({reason}); they are done "
                    f"{what} by the next"
                )
            )
            return
        self._bear(poison, worker, reason)

    def _was_committed(self, task: Task, worker: int) -> bool:
        """It died between the commit and the word of it: halves would come twice."""
        writer = self.account.work.output.writer
        found = writer.find([sample.key for sample in task.samples])
        if found is None:
            return False
        name, footer = found
        counts = Counts(footer.images, footer.masks, footer.failed)
        self.account.settle(task, Outcome(name, counts), worker)
        return True

    def _bear(self, task: Task, worker: int, reason: str) -> None:
        """A row for the image that kills whoever touches it."""
        account, output = self.account, self.account.work.output
        self._poisonous += 1
        if self._poisonous >= GIVE_UP_AFTER and not account.good:
            raise NothingDone(
                f"the worker processes died of each of the first {self._poisonous} images "
                f"({reason}); that is no fault of the images: no more rows were written for them"
            )
        (sample,) = task.samples
        error = f"the worker process died of this image, more than once: {reason}"
        records = [Record(sample, None, None, error=error)]
        chunk = Chunk(task.samples, task.part, create=not output.inventory.parts)
        account.settle(task, commit(records, chunk, output.writer), worker)
