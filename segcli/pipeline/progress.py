"""What a run tells of itself: its start, its progress, its parts, its end."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field

from segcli.errors import Interrupted, NothingDone
from segcli.pipeline.counts import Counts, ProgressCounter
from segcli.pipeline.events import Committed, Report, Started, Summary
from segcli.pipeline.job import Outcome
from segcli.pipeline.options import PredictOptions
from segcli.pipeline.settings import Described
from segcli.pipeline.signals import Stop
from segcli.pipeline.task_list import Count, Task, TaskList


@dataclass(slots=True)
class RunProgress:
    """Of one run, however many workers it has."""

    options: PredictOptions
    described: Described
    work: TaskList
    report: Report
    stop: Stop
    tally: ProgressCounter = field(default_factory=ProgressCounter)
    count: Count | None = None

    def start(self, device: str, precision: str) -> None:
        """A model is loaded: tell what is about to happen, and count what there is."""
        self.report(
            Started(
                source=self.options.source,
                out=str(self.options.out),
                model=self.described.model,
                weights=self.described.weights.name,
                device=device,
                precision=precision,
                done=self.work.output.images,
            )
        )
        self.tally = ProgressCounter()  # the seconds of the run are those of its images
        self.count = Count(self.work.source)
        if self.options.count_ahead:
            self.count.start()

    def batch(self, counts: Counts, worker: int = 0) -> None:
        """`worker` has done one more batch of the chunk that it has in hand."""
        self.tally.add(counts, worker)
        self.progress()

    def progress(self) -> None:
        self.report(self.tally.progress(self.total))

    def finish(self, counts: Counts, worker: int) -> None:
        """The chunk in hand of `worker` came to this; not all of its batches were told."""
        self.tally.in_hand[worker] = counts
        self.progress()

    def settle(self, task: Task, outcome: Outcome, worker: int = 0) -> None:
        """The chunk in hand of `worker` is a part now."""
        self.work.settle(task, outcome)
        self.tally.settle(outcome.counts, worker)
        if outcome.part is not None:
            path = self.work.output.writer.directory / outcome.part
            self.report(Committed(str(path), outcome.counts.images))

    @property
    def total(self) -> int | None:
        """How many images this run will have done, once they are counted."""
        total = self.count.total if self.count is not None else None
        if total is None:
            return None
        total -= self.work.skipped
        return total if self.options.limit is None else min(total, self.options.limit)

    @property
    def left(self) -> int | None:
        """How many images are in no task yet, once they are counted."""
        return None if self.total is None else max(0, self.total - self.work.taken)

    @property
    def good(self) -> int:
        """Images that are committed and did not fail."""
        return self.tally.committed.images - self.tally.committed.failed

    def close(self) -> None:
        if self.count is not None:
            self.count.end()

    def end(self) -> Summary:
        """The summary; raises Interrupted and NothingDone after telling it."""
        done = self.tally.committed
        seconds = self.tally.seconds if done.images else 0.0
        summary = Summary(
            out=str(self.options.out),
            images=done.images,
            masks=done.masks,
            failed=done.failed,
            first_failures=done.first_failures,
            earlier=self.work.earlier,
            earlier_failed=self.work.earlier_failed,
            repeated=self.work.repeated,
            seconds=seconds,
            images_per_s=done.images / max(seconds, 1e-9),
        )
        self.report(summary)
        if self.stop.requested:
            raise Interrupted(
                f"interrupted; the {done.images} images done by this run are committed in "
                f"{self.options.out}: run the same command again to go on",
                terminated=self.stop.signum == signal.SIGTERM,
            )
        if done.images and done.failed == done.images:
            key, reason = done.first_failures[0]
            raise NothingDone(
                f"not one of {done.images} images could be done, the first ({key}): {reason}"
            )
        return summary
