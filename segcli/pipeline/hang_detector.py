"""Which workers hang: those without any headway for too long."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from segcli.pipeline.executors.worker_process import WorkerProcess

UNMEASURED_S = 600.0  # until the speed is known, and for a worker that starts
LEAST_S = 120.0
FACTOR = 20.0
_PAUSE_S = 5.0


@dataclass(slots=True)
class HangDetector:
    """`fixed` seconds may pass without headway; None: many times what it took so far, 120 at least.

    Headway is a finished batch, so a chunk may take as long as it likes.
    """

    fixed: float | None = None
    _slowest: float | None = None
    _looked: float = field(default_factory=time.monotonic)

    @property
    def limit_s(self) -> float:
        if self.fixed is not None:
            return self.fixed
        return UNMEASURED_S if self._slowest is None else max(LEAST_S, FACTOR * self._slowest)

    def headway(self, seat: WorkerProcess) -> None:
        now = time.monotonic()
        self._slowest = max(self._slowest or 0.0, now - seat.since)
        seat.since = now

    def look(self, seats: Iterable[WorkerProcess]) -> None:
        """Kill those that hang. To be called often: a long gap means that we were stopped too."""
        now = time.monotonic()
        gap, self._looked = now - self._looked, now
        for seat in seats:
            if gap > _PAUSE_S:
                seat.since += gap
            if seat.is_empty or seat.is_dying:
                continue
            if seat.task is not None and now - seat.since > self.limit_s:
                seat.kill(f"it hung: no batch was finished for {self.limit_s:.0f} s")
            elif not seat.is_ready and now - seat.since > UNMEASURED_S:
                seat.kill(f"it hung while it loaded the model, for {UNMEASURED_S:.0f} s")
