"""The tasks of a run: samples without rows, a chunk at a time, and samples to be redone."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace

from segcli.partitions import Partitions
from segcli.pipeline.chunk_size import ChunkSize
from segcli.pipeline.completion import Completion
from segcli.pipeline.job import Outcome
from segcli.pipeline.listing import Listing, sample_bytes
from segcli.pipeline.open_chunks import MOST_BYTES, OpenChunks
from segcli.pipeline.stages.static import StaticRule
from segcli.sources import Source
from segcli.store import Output
from segcli.types import Sample

_BISECT_AFTER = 2  # deaths; the first may have another cause, such as a kill or a lack of memory


@dataclass(frozen=True, slots=True)
class Task:
    """Samples that are committed together; `part`: they have rows in this one already.

    `deaths`: so many workers died while they processed them.
    """

    samples: list[Sample]
    part: str | None = None
    deaths: int = 0


@dataclass(slots=True)
class TaskList:
    """The tasks of a run, listed lazily; the counts grow as the listing goes on.

    `earlier` samples have rows and stay as they are, `earlier_failed` of them failed ones; `redone`
    have rows that are replaced; `repeated` keys were listed again; `taken` are in tasks. Each task
    is settled or dropped. A task, and the samples that wait to be redone, hold about `most_bytes`
    at most, encoded images of a manifest included. `on_first` is called once, when the first sample
    is found that will be in a task.
    """

    source: Source
    output: Output
    retry_failed: bool = False
    limit: int | None = None
    count_ahead: bool = False
    completion: Completion | None = None
    most_bytes: int = MOST_BYTES
    static: StaticRule | None = None
    partitions: Partitions | None = None
    on_first: Callable[[], None] | None = None
    earlier: int = 0
    earlier_failed: int = 0
    redone: int = 0
    repeated: int = 0
    taken: int = 0
    listing: Listing = field(init=False)
    _redo: dict[str | None, dict[str, Sample]] = field(default_factory=dict)
    _redo_bytes: int = 0
    _in_hand: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.listing = Listing(self.source, self.count_ahead)

    @property
    def total(self) -> int | None:
        """The number of images that the run will process, once they are counted."""
        if self.listing.total is None:
            return None
        total = self.listing.total - self.earlier - self.repeated
        return total if self.limit is None else min(total, self.limit)

    @property
    def has_rows(self) -> int:
        """Images that had rows before, those in archives and videos that were not opened too."""
        return self.earlier + (0 if self.completion is None else self.completion.skipped)

    @property
    def has_failed(self) -> int:
        """How many of them are failed ones."""
        failed = 0 if self.completion is None else self.completion.skipped_failed
        return self.earlier_failed + failed

    def tasks(self, size: ChunkSize) -> Iterator[Task]:
        """Chunks of new samples, each in the order of the source; what is redone at the end, part
        by part, or earlier when much of it waits.

        Only the samples of open chunks and those to be redone are held in memory.
        """
        chunks = OpenChunks(self.source, self.partitions, self.static)
        for sample in self.listing:
            ready: list[dict[str, Sample]] = []
            taken_before = self.taken
            if sample in chunks or sample.key in self._in_hand:
                self.repeated += 1
            elif self._is_new(sample):
                ready = chunks.add(sample, size.now, self.most_bytes)
                self.taken += 1
            if self.taken and self.on_first is not None:
                first, self.on_first = self.on_first, None
                first()
            if self.completion is not None:
                self.completion.listed(sample, taken=self.taken > taken_before)
            for chunk in ready:
                yield self._task(chunk)
            if self._redo_bytes >= self.most_bytes:
                yield from self._redo_tasks()
            if self.limit is not None and self.taken >= self.limit:
                break
        else:
            if self.completion is not None:
                self.completion.end()
        for chunk in chunks.rest():
            yield self._task(chunk)
        yield from self._redo_tasks()

    def settle(self, task: Task, outcome: Outcome) -> None:
        """The task has been done, but for the keys that its outcome names."""
        self.drop(task)
        if outcome.part is not None:
            done = [s for s in task.samples if s.key not in outcome.undone]
            self.output.adopt(outcome.part, done)
            if self.completion is not None:
                for sample in done:
                    self.completion.settled(sample)

    def drop(self, task: Task) -> None:
        """No worker will process the task."""
        self._in_hand.difference_update(sample.key for sample in task.samples)

    def _task(self, samples: dict[str, Sample], part: str | None = None) -> Task:
        self._in_hand.update(samples)
        return Task(list(samples.values()), part)

    def _redo_tasks(self) -> Iterator[Task]:
        waiting, self._redo, self._redo_bytes = self._redo, {}, 0
        for samples in waiting.values():
            self._in_hand.update(samples)
        while waiting:
            part = next(iter(waiting))
            yield self._task(waiting.pop(part), part)

    def _is_new(self, sample: Sample) -> bool:
        """Counts what is not, and remembers what is to be redone."""
        state = self.output.state(sample)
        if state == "new":
            return True
        if state == "changed" or (state == "failed" and self.retry_failed):
            again = self._redo.setdefault(self.output.part_of(sample), {})
            if sample.key in again:
                self.repeated += 1
            else:
                again[sample.key] = sample
                self._redo_bytes += sample_bytes(sample)
                self.redone += 1
                self.taken += 1
        elif self.output.repeated(sample):
            self.repeated += 1
        else:
            self.earlier += 1
            self.earlier_failed += state == "failed"
        return False


@dataclass(slots=True)
class TaskQueue:
    """The tasks of a run in the order in which they are handed out: those given back come first."""

    fresh: Iterator[Task]
    _again: deque[Task] = field(default_factory=deque)
    _listed: Task | None = None

    def take(self, busy_parts: Collection[str]) -> Task | None:
        """The next task that rewrites none of `busy_parts`; None when there is none now."""
        for position, task in enumerate(self._again):
            if task.part is None or task.part not in busy_parts:
                del self._again[position]
                return task
        self.list_ahead()
        listed = self._listed
        if listed is not None and listed.part is not None and listed.part in busy_parts:
            return None
        self._listed = None
        return listed

    @property
    def is_empty(self) -> bool:
        self.list_ahead()
        return self._listed is None and not self._again

    def list_ahead(self) -> None:
        """Prepare the next task while the workers are busy."""
        if self._listed is None:
            self._listed = next(self.fresh, None)

    def give_back(self, task: Task) -> Task | None:
        """A worker died over the task: it is done once more, then in halves.

        Returns the task instead when it is a single image that has done it again.
        """
        task = replace(task, deaths=task.deaths + 1)
        if task.deaths < _BISECT_AFTER:
            self._again.append(task)
            return None
        if len(task.samples) == 1:
            return task
        middle = len(task.samples) // 2
        halves = (task.samples[:middle], task.samples[middle:])
        # In front, so that the offending image is isolated before other tasks run.
        self._again.extendleft(
            replace(task, samples=half, deaths=_BISECT_AFTER - 1) for half in reversed(halves)
        )
        return None
