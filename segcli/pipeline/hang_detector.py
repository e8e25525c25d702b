"""Detects workers that hang, which means that they finish no batch for too long."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segcli.pipeline.dispatcher import Worker

UNMEASURED_S = 600.0  # until the speed is known, and for a worker that loads its model
LEAST_S = 120.0
FACTOR = 20.0
_PAUSE_S = 5.0


@dataclass(slots=True)
class HangDetector:
    """`fixed`: the limit in seconds without a finished batch; None: many times that of a batch.

    The timer measures batches, so a chunk may take any time.
    """

    fixed: float | None = None
    _slowest: float | None = None
    _looked: float = field(default_factory=time.monotonic)

    @property
    def limit_s(self) -> float:
        if self.fixed is not None:
            return self.fixed
        return UNMEASURED_S if self._slowest is None else max(LEAST_S, FACTOR * self._slowest)

    def headway(self, worker: Worker) -> None:
        """The worker has finished a batch."""
        now = time.monotonic()
        self._slowest = max(self._slowest or 0.0, now - worker.since)
        worker.since = now

    def hung(self, workers: Iterable[Worker]) -> Iterator[tuple[Worker, str]]:
        """The workers that hang, with the reason.

        Call it often: a long gap between two calls means that this process itself was stopped.
        """
        now = time.monotonic()
        gap, self._looked = now - self._looked, now
        for worker in workers:
            if gap > _PAUSE_S:
                worker.since += gap
            if not worker.is_running or worker.is_dying:
                continue
            if worker.task is not None and now - worker.since > self.limit_s:
                yield worker, f"it hung: no batch was finished for {self.limit_s:.0f} s"
            elif not (worker.is_ready or worker.may_wait) and now - worker.since > UNMEASURED_S:
                yield worker, f"it hung while it loaded the model, for {UNMEASURED_S:.0f} s"
