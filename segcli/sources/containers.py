"""Which archives and videos have been listed, and which need not be opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from segcli.sources.sidecars import Sidecars
from segcli.types import Sample


def _never(container: Sample) -> bool:
    return False


@dataclass(slots=True)
class Containers:
    """Shared by a source and its run. Containers for which `skip` is true are not opened.
    `listed` are the others by key, with their size and time before they were opened.
    `sidecars` belong to all shards.
    """

    skip: Callable[[Sample], bool] = _never
    listed: dict[str, Sample] = field(default_factory=dict)
    sidecars: Sidecars = field(default_factory=Sidecars)

    def opens(self, container: Sample) -> bool:
        """Whether to open a container; call it before opening."""
        if self.skip(container):
            return False
        self.listed[container.key] = container
        return True
