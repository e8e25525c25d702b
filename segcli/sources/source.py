"""What a source is to the rest of segcli."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from segcli.errors import UsageError
from segcli.sources.containers import Containers
from segcli.types import Sample


class NothingFound(UsageError):
    """The source is there, but no image is in it, or none that is wanted."""


@dataclass(frozen=True, slots=True)
class Source:
    """An archive of images. Each iteration lists it anew; a key that occurs twice comes twice.

    `root` is the absolute path, without symbolic links, of the folder, list or manifest (of the
    folder for a single image), or its URL: keys mean something only below it. `carried` are a
    manifest's own columns, name -> Arrow type; their values ride in Sample.carried as Python
    values, dates and times as the integers of their type. `notes` are sentences on what does not
    ride along.
    `sift` lists what is wanted more cheaply than listing all and leaving the rest out. `left_out`
    are the folders of NAS and archive tools that listing has passed by, `unread` those that could
    not be listed. `is_folder`: every image below `root` is listed. `roots`: for each prefix of keys
    the root below which such keys mean something, where `several.open_sources` made it.
    """

    root: str
    listing: Callable[[], Iterator[Sample]]
    carried: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    sift: Callable[[Callable[[str], bool]], Iterator[Sample]] | None = None
    left_out: set[str] = field(default_factory=set)
    unread: set[str] = field(default_factory=set)
    is_folder: bool = False
    roots: Mapping[str, str] = field(default_factory=dict)
    containers: Containers = field(default_factory=Containers)

    def __iter__(self) -> Iterator[Sample]:
        return self.listing()

    def only(self, wanted: Callable[[str], bool]) -> Source:
        """The samples whose keys are wanted, for one of several runs that share a source."""
        if (sift := self.sift) is not None:
            return replace(self, listing=lambda: sift(wanted))
        return replace(self, listing=lambda: (s for s in self if wanted(s.key)))
