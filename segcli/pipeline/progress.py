"""What a run reports about itself: its start, its counts, its parts, its end."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from segcli.errors import Interrupted, NothingDone
from segcli.pipeline.events import Committed, Progress, Report, Started, Summary
from segcli.pipeline.options import PredictOptions
from segcli.pipeline.settings import Described
from segcli.pipeline.signals import Stop
from segcli.types import Record

if TYPE_CHECKING:
    from segcli.pipeline.job import Outcome
    from segcli.pipeline.task_list import Count, Task, TaskList

FIRST_FAILURES = 10


@dataclass(frozen=True, slots=True)
class Counts:
    """What came of some images; `first_failures` are at most ten (key, reason), `warnings` counts
    images by the kind of warning."""

    images: int = 0
    masks: int = 0
    failed: int = 0
    first_failures: tuple[tuple[str, str], ...] = ()
    warnings: Counter[str] = field(default_factory=Counter)

    @staticmethod
    def of(records: Iterable[Record]) -> Counts:
        images = masks = 0
        failures: list[tuple[str, str]] = []
        failed = 0
        warnings: Counter[str] = Counter()
        for record in records:
            images += 1
            masks += len(record.segments)
            warnings.update({text.partition(":")[0] for text in record.warnings})
            if record.error is not None:
                failed += 1
                if len(failures) < FIRST_FAILURES:
                    failures.append((record.sample.key, record.error))
        return Counts(images, masks, failed, tuple(failures), warnings)

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.images + other.images,
            self.masks + other.masks,
            self.failed + other.failed,
            (self.first_failures + other.first_failures)[:FIRST_FAILURES],
            self.warnings + other.warnings,
        )


@dataclass(slots=True)
class ProgressCounter:
    """`committed` have rows; `in_hand` are done but not yet committed, by worker."""

    started: float = field(default_factory=time.monotonic)
    committed: Counts = Counts()
    in_hand: dict[int, Counts] = field(default_factory=dict)

    def add(self, counts: Counts, worker: int = 0) -> None:
        """A batch more of the chunk that `worker` has in hand."""
        self.in_hand[worker] = self.in_hand.get(worker, Counts()) + counts

    def settle(self, counts: Counts, worker: int = 0) -> None:
        """The chunk in hand has been committed with these counts, or lost with none."""
        self.in_hand.pop(worker, None)
        self.committed += counts

    @property
    def now(self) -> Counts:
        return sum(self.in_hand.values(), self.committed)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def progress(self, total: int | None) -> Progress:
        """`total` images will have been done in the end; None: not counted yet."""
        now, seconds = self.now, self.seconds
        rate = now.images / max(seconds, 1e-9)
        eta_s = (total - now.images) / rate if total is not None and rate else None
        return Progress(now.images, now.masks, now.failed, seconds, rate, total, eta_s)


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
        self.count = self.work.count()
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
            warnings=dict(done.warnings),
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
