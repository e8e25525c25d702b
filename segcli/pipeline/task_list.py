"""What there is to do: the samples without rows, a chunk at a time, then those to be redone."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace

from segcli.errors import SegcliError
from segcli.pipeline.chunk import ChunkSize
from segcli.pipeline.job import Outcome
from segcli.sources import Source
from segcli.store import Output
from segcli.types import Sample

MOST_BYTES = 64 << 20
_BISECT_AFTER = 2  # deaths; the first may be nobody's fault: a kill, a lack of memory elsewhere


@dataclass(frozen=True, slots=True)
class Task:
    """Samples that are committed together; `part`: they have rows in this one already.

    `deaths`: so many workers died over them.
    """

    samples: list[Sample]
    part: str | None = None
    deaths: int = 0


@dataclass(slots=True)
class TaskList:
    """The tasks of a run, listed lazily; the counts grow as the listing goes on.

    `earlier` samples have rows and stay as they are, `earlier_failed` of them failed ones;
    `repeated` keys were listed again; `taken` are in tasks. Whoever does a task settles it. A task
    holds about `most_bytes` of encoded images at most, where a manifest carries them.
    """

    source: Source
    output: Output
    retry_failed: bool = False
    limit: int | None = None
    most_bytes: int = MOST_BYTES
    earlier: int = 0
    earlier_failed: int = 0
    repeated: int = 0
    taken: int = 0
    _redo: dict[str | None, dict[str, Sample]] = field(default_factory=dict)
    _in_hand: set[str] = field(default_factory=set)

    @property
    def skipped(self) -> int:
        return self.earlier + self.repeated

    def tasks(self, size: ChunkSize) -> Iterator[Task]:
        """Chunks of new samples in the order of the source, then what is redone, part by part.

        Only the samples of one chunk and those to be redone are held in memory.
        """
        chunk: dict[str, Sample] = {}
        carried = 0
        for sample in self.source:
            if sample.key in chunk or sample.key in self._in_hand:
                self.repeated += 1
            elif self._is_new(sample):
                chunk[sample.key] = sample
                carried += len(sample.data or b"")
                self.taken += 1
            if len(chunk) >= size.now or carried >= self.most_bytes:
                yield self._task(chunk)
                chunk, carried = {}, 0
            if self.limit is not None and self.taken >= self.limit:
                break
        if chunk:
            yield self._task(chunk)
        for part, samples in self._redo.items():
            yield Task(list(samples.values()), part)

    def settle(self, task: Task, outcome: Outcome) -> None:
        """The task has been done, but for the keys that its outcome names."""
        self.drop(task)
        if outcome.part is not None:
            done = [s for s in task.samples if s.key not in outcome.undone]
            self.output.adopt(outcome.part, done)

    def drop(self, task: Task) -> None:
        """Nobody does the task any more."""
        self._in_hand.difference_update(sample.key for sample in task.samples)

    def count(self) -> Count:
        return Count(self.source)

    def _task(self, chunk: dict[str, Sample]) -> Task:
        self._in_hand.update(chunk)
        return Task(list(chunk.values()))

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
                self.taken += 1
        elif self.output.repeated(sample):
            self.repeated += 1
        else:
            self.earlier += 1
            self.earlier_failed += state == "failed"
        return False


@dataclass(slots=True)
class Pending:
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
        listed, self._listed = self._listed, None
        return listed

    @property
    def is_empty(self) -> bool:
        self.list_ahead()
        return self._listed is None and not self._again

    def list_ahead(self) -> None:
        """Have the next task ready while the workers are at theirs."""
        if self._listed is None:
            self._listed = next(self.fresh, None)

    def give_back(self, task: Task) -> Task | None:
        """A worker died over the task: once more, then in halves.

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
        # In front, so that the poison is found before anything else suffers from it.
        self._again.extendleft(
            replace(task, samples=half, deaths=_BISECT_AFTER - 1) for half in reversed(halves)
        )
        return None


class Count(threading.Thread):
    """Counts the listing beside the run; `total` is None until it has come to the end."""

    def __init__(self, source: Source) -> None:
        super().__init__(name="count", daemon=True)
        self.total: int | None = None
        self._source = source
        self._over = threading.Event()

    def run(self) -> None:
        total = 0
        try:
            for sample in self._source:
                total += 1
                if sample.data is not None or self._over.is_set():
                    return  # images inside a manifest would be read twice just to be counted
                if total % 500 == 0:
                    time.sleep(0.005)  # the run needs the interpreter more
        except (SegcliError, OSError):
            return  # the run itself meets the same trouble and tells
        self.total = total

    def end(self) -> None:
        self._over.set()
