"""The reports of a run: its start, counts, parts and end."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from segcli.cloud.urls import shown
from segcli.errors import Interrupted, NothingDone
from segcli.partitions import UNKNOWN
from segcli.pipeline.events import Committed, ImageFailed, Note, Progress, Report, Started, Summary
from segcli.pipeline.missing import Missing
from segcli.pipeline.options import PredictOptions
from segcli.pipeline.settings import Described
from segcli.pipeline.signals import Stop
from segcli.plurals import counted, with_count
from segcli.types import Record, Sample

if TYPE_CHECKING:
    from segcli.pipeline.job import Outcome
    from segcli.pipeline.task_list import Task, TaskList

FIRST_FAILURES = 10


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of some images; `static` of them repeat others, and `warnings` counts them by the
    kind of warning."""

    images: int = 0
    masks: int = 0
    failed: int = 0
    warnings: Counter[str] = field(default_factory=Counter)
    static: int = 0

    @staticmethod
    def of(records: Iterable[Record]) -> Counts:
        images = masks = failed = static = 0
        warnings: Counter[str] = Counter()
        for record in records:
            images += 1
            masks += len(record.segments)
            failed += record.error is not None
            static += record.repeats is not None
            warnings.update({text.partition(":")[0] for text in record.warnings})
        return Counts(images, masks, failed, warnings, static)

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.images + other.images,
            self.masks + other.masks,
            self.failed + other.failed,
            self.warnings + other.warnings,
            self.static + other.static,
        )

    def __sub__(self, other: Counts) -> Counts:
        return Counts(
            self.images - other.images,
            self.masks - other.masks,
            self.failed - other.failed,
            self.warnings - other.warnings,
            self.static - other.static,
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
class Lag:
    """The ages of files when their rows were committed, in seconds; `mean` and `longest` are None
    without any. A time in the future counts as now."""

    files: int = 0
    total: float = 0.0
    longest: float | None = None

    @property
    def mean(self) -> float | None:
        return self.total / self.files if self.files else None

    def add(self, samples: Iterable[Sample]) -> None:
        now = time.time()
        for sample in samples:
            if sample.mtime_ns is not None:
                age = max(0.0, now - sample.mtime_ns / 1e9)
                self.files += 1
                self.total += age
                self.longest = max(age, self.longest or 0.0)


@dataclass(slots=True)
class RunProgress:
    """The events and counts of one run, however many workers it has."""

    options: PredictOptions
    described: Described
    tasks: TaskList
    report: Report
    stop: Stop
    counter: ProgressCounter = field(default_factory=ProgressCounter)
    is_started: bool = False
    missing: Missing = Missing()
    categories: Counter[str] = field(default_factory=Counter)
    lag: Lag = field(default_factory=Lag)
    unpartitioned: int = 0
    _first_failures: list[tuple[str, str]] = field(default_factory=list)

    def start(self, device: str, precision: str, runtime: str) -> None:
        """A model is loaded, and the first chunk is about to be processed."""
        self.report(
            Started(
                source=", ".join(map(shown, self.options.sources)),
                out=shown(self.options.out),
                model=self.described.model,
                weights=self.described.weights.name,
                device=device,
                precision=precision,
                runtime=runtime,
                in_output=self.tasks.output.images,
            )
        )
        self.counter = ProgressCounter()  # the seconds of the run are those of its images
        self.is_started = True

    def batch(self, counts: Counts, worker: int = 0) -> None:
        """`worker` has finished more batches of the chunk that it has in hand."""
        self.counter.add(counts, worker)
        self.report(self.counter.progress(self.tasks.total))

    def finish(self, task: Task, outcome: Outcome, worker: int = 0) -> None:
        """The task that `worker` had in hand is done, and committed where it has a part."""
        if self.counter.in_hand.get(worker, Counts()) != outcome.counts:
            self.counter.in_hand[worker] = outcome.counts
            self.report(self.counter.progress(self.tasks.total))
        self.tasks.settle(task, outcome)
        self.counter.settle(outcome.counts, worker)
        if outcome.part is None:
            return
        path = self.tasks.output.writer.directory / outcome.part
        self.report(Committed(shown(path), outcome.counts.images))
        if UNKNOWN in outcome.part:
            self.unpartitioned += outcome.counts.images
        self.categories += outcome.categories
        self.lag.add(s for s in task.samples if s.key not in outcome.undone)
        for key, reason in outcome.failures:
            self.report(ImageFailed(key, reason))
        missing = FIRST_FAILURES - len(self._first_failures)
        self._first_failures += outcome.failures[: max(0, missing)]

    def lose(self, worker: int) -> None:
        """What `worker` had finished of its chunk is lost with it."""
        self.counter.settle(Counts(), worker)

    @property
    def left(self) -> int | None:
        """How many images are in no task yet, once they are counted."""
        total = self.tasks.total
        return None if total is None else max(0, total - self.tasks.taken)

    @property
    def succeeded(self) -> int:
        """Images that are committed and did not fail."""
        return self.counter.committed.images - self.counter.committed.failed

    @property
    def is_in_vain(self) -> bool:
        """Interrupted, or all images failed."""
        done = self.counter.committed
        return self.stop.requested or (done.images > 0 and done.failed == done.images)

    def end(self) -> Summary:
        """The summary; raises Interrupted and NothingDone after reporting it."""
        done, tasks = self.counter.committed, self.tasks
        seconds = self.counter.seconds if done.images else 0.0
        summary = Summary(
            out=shown(self.options.out),
            images=done.images,
            masks=done.masks,
            failed=done.failed,
            static=done.static,
            first_failures=tuple(self._first_failures),
            earlier=tasks.has_rows,
            earlier_failed=tasks.has_failed,
            redone=min(tasks.redone, done.images),
            repeated=tasks.repeated,
            warnings=dict(done.warnings),
            seconds=seconds,
            images_per_s=done.images / max(seconds, 1e-9),
            min_score=self.options.min_score,
            default_score=self.described.info.default_score,
            scores_by_class=self.described.info.default_scores is not None,
            missing=self.missing.left,
            pruned=self.missing.removed,
            is_out_of_time=self.stop.is_out_of_time,
            categories=dict(self.categories.most_common()),
            lag_mean_s=self.lag.mean,
            lag_max_s=self.lag.longest,
            unpartitioned=self.unpartitioned,
        )
        self._note()
        self.report(summary)
        if self.stop.requested and not self.stop.is_out_of_time:
            raise Interrupted(
                f"interrupted; what this run has processed, {counted(done.images, 'image')}, is "
                f"committed in {shown(self.options.out)}: run the same command again to continue",
                terminated=self.stop.signum == signal.SIGTERM,
            )
        if done.images and done.failed == done.images:
            key, reason = self._first_failures[0]
            raise NothingDone(
                f"not one of {counted(done.images, 'image')} could be processed, the first "
                f"({key}): {reason}"
            )
        return summary

    def _note(self) -> None:
        """What listing the source has shown."""
        if left_out := self.tasks.source.left_out:
            self.report(
                Note(
                    with_count("{} folders of NAS or archive tools were left out", len(left_out))
                    + f", such as {min(left_out)}; `all_folders=True` includes them"
                )
            )
        if self.tasks.source.containers.has_videos:
            self.report(Note(f"frames of videos were chosen by `every={self.options.every!r}`"))
        names = self.tasks.source.containers.names
        if names is not None and (remark := names.remark()) is not None:
            self.report(Note(remark))
        if untimed := self.tasks.source.containers.untimed:
            self.report(
                Note(
                    f"the JSON files of {counted(len(untimed), 'video')} do not state `start` as a "
                    f'time, such as that of {min(untimed)}; expected "start": "2026-11-18 11:06:40"'
                )
            )
        if unfit := self.tasks.source.containers.sidecars.unfit:
            self.report(
                Note(
                    f"values of {counted(len(unfit), 'field')} in archives were not copied, such "
                    f"as {min(unfit)!r}: the output has no such column, or one of another type"
                )
            )
        if unnamed := self.tasks.source.unnamed:
            self.report(
                Note(
                    with_count("{} files without a suffix were left out", sum(unnamed.values()))
                    + f", such as {min(unnamed)!r}, which is an image: give them a suffix, or list "
                    f"their paths in a text file"
                )
            )
        if self.options.prune_missing and self.missing.reason:
            self.report(Note(self.missing.reason))
