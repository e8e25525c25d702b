"""The counts of a run while it goes on."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from segcli.run.events import Progress
from segcli.types import Record

FIRST_FAILURES = 10


@dataclass(slots=True)
class Tally:
    """`ahead` images are listed but not done; `unlisted` tells how many more there will be."""

    started: float = field(default_factory=time.monotonic)
    images: int = 0
    masks: int = 0
    failed: int = 0
    repeated: int = 0
    first_failures: list[tuple[str, str]] = field(default_factory=list)

    def add(self, records: Iterable[Record]) -> None:
        for record in records:
            self.images += 1
            self.masks += len(record.segments)
            if record.error is not None:
                self.failed += 1
                if len(self.first_failures) < FIRST_FAILURES:
                    self.first_failures.append((record.sample.key, record.error))

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    @property
    def images_per_s(self) -> float:
        return self.images / max(self.seconds, 1e-9)

    def progress(self, total: int | None) -> Progress:
        """`total` images will have been done in the end; None: not counted yet."""
        rate = self.images_per_s
        eta_s = (total - self.images) / rate if total is not None and rate else None
        return Progress(self.images, self.masks, self.failed, self.seconds, rate, total, eta_s)
