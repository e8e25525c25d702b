"""What is still to be done, and what becomes of a chunk over which a worker died."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace

from segcli.pipeline.task_list import Task

_BISECT_AFTER = 2  # deaths; the first may be nobody's fault: a kill, a lack of memory elsewhere


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
