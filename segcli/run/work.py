"""What there is to do: the samples without rows, a chunk at a time, then those to be redone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from segcli.errors import SegcliError
from segcli.run.chunk import ChunkSize
from segcli.shard import Output
from segcli.source import Source
from segcli.types import Sample


@dataclass(frozen=True, slots=True)
class Task:
    """Samples that are committed together; `redo`: they have rows in one part already."""

    samples: list[Sample]
    redo: bool = False


@dataclass(slots=True)
class Work:
    """The tasks of a run, listed lazily; the counts grow as the listing goes on.

    `earlier` samples have rows and stay as they are, `earlier_failed` of them failed ones;
    `repeated` keys were listed again.
    """

    source: Source
    output: Output
    retry_failed: bool = False
    limit: int | None = None
    earlier: int = 0
    earlier_failed: int = 0
    repeated: int = 0
    _taken: int = 0
    _redo: dict[str | None, dict[str, Sample]] = field(default_factory=dict)

    @property
    def skipped(self) -> int:
        return self.earlier + self.repeated

    def tasks(self, size: ChunkSize) -> Iterator[Task]:
        """Chunks of new samples in the order of the source, then what is redone, part by part.

        Only the samples of one chunk and those to be redone are held in memory.
        """
        chunk: dict[str, Sample] = {}
        for sample in self.source:
            if sample.key in chunk:
                self.repeated += 1
            elif self._is_new(sample):
                chunk[sample.key] = sample
                self._taken += 1
            if len(chunk) >= size.now:
                yield Task(list(chunk.values()))
                chunk = {}
            if self.limit is not None and self._taken >= self.limit:
                break
        if chunk:
            yield Task(list(chunk.values()))
        for samples in self._redo.values():
            yield Task(list(samples.values()), redo=True)

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
                self._taken += 1
        elif self.output.repeated(sample):
            self.repeated += 1
        else:
            self.earlier += 1
            self.earlier_failed += state == "failed"
        return False


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
