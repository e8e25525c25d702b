"""The counts of a run while it goes on."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from segcli.pipeline.events import Progress
from segcli.types import Record

FIRST_FAILURES = 10


@dataclass(frozen=True, slots=True)
class Counts:
    """What came of some images; `first_failures` are at most ten (key, reason)."""

    images: int = 0
    masks: int = 0
    failed: int = 0
    first_failures: tuple[tuple[str, str], ...] = ()

    @staticmethod
    def of(records: Iterable[Record]) -> Counts:
        images = masks = 0
        failures: list[tuple[str, str]] = []
        failed = 0
        for record in records:
            images += 1
            masks += len(record.segments)
            if record.error is not None:
                failed += 1
                if len(failures) < FIRST_FAILURES:
                    failures.append((record.sample.key, record.error))
        return Counts(images, masks, failed, tuple(failures))

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.images + other.images,
            self.masks + other.masks,
            self.failed + other.failed,
            (self.first_failures + other.first_failures)[:FIRST_FAILURES],
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
