"""Which archives and videos have been listed, and which need not be opened."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from segcli.sources import clip_times
from segcli.sources.name_times import NameTimes
from segcli.sources.sidecars import Sidecars
from segcli.types import Sample


def _never(container: Sample) -> bool:
    return False


@dataclass(slots=True)
class Containers:
    """Shared by a source and its run. Containers for which `skip` is true are not opened.
    `listed` are the others by key, with their size and time before they were opened.
    `columns` are those of the output, None while there is none. `sidecars` belong to all shards.
    `untimed` are the videos whose JSON file does not state their start as a time. `has_videos`:
    one was opened. `unread` are those whose reading the storage broke off: their listing may lack
    images. `names` finds times in names, if that was asked for.
    """

    skip: Callable[[Sample], bool] = _never
    listed: dict[str, Sample] = field(default_factory=dict)
    columns: Mapping[str, Any] | None = None
    sidecars: Sidecars = field(init=False)
    untimed: set[str] = field(default_factory=set)
    has_videos: bool = False
    unread: set[str] = field(default_factory=set)
    names: NameTimes | None = None

    def __post_init__(self) -> None:
        self.sidecars = Sidecars(None if self.columns is None else dict(self.columns))

    @property
    def records_times(self) -> bool:
        """Whether the output has, or will have, a column for the times of videos."""
        if self.columns is None:
            return True
        return str(self.columns.get(clip_times.COLUMN)) == "string"

    def opens(self, container: Sample) -> bool:
        """Whether to open a container; call it before opening."""
        if self.skip(container):
            return False
        self.listed[container.key] = container
        return True
