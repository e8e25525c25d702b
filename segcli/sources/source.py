"""The type of a source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from segcli.errors import UsageError
from segcli.sources.containers import Containers
from segcli.types import Sample


class NothingFound(UsageError):
    """The source exists, but it has no image, or none that is wanted."""


@dataclass(frozen=True, slots=True)
class Source:
    """A collection of images. Each iteration lists it again, including duplicate keys.

    `root` is the absolute path, without symbolic links, of the folder, list or manifest (of the
    folder for a single image), or its URL; keys are relative to it. `carried` are the columns of a
    manifest, name -> Arrow type; Sample.carried has their values as Python values, with dates and
    times as the integers of their type. `notes` are sentences on columns that are not carried.
    `sift` lists the wanted samples faster than listing all and filtering. `left_out` are the
    folders of NAS and archive tools that were skipped, `unread` those that could not be listed,
    `unnamed` the images without a suffix: the first of each folder, and how many names have none.
    `is_folder`: every image below `root` is listed. `roots`: the root of each prefix of keys, if
    `several.open_sources` made the source.
    """

    root: str
    listing: Callable[[], Iterator[Sample]]
    carried: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    sift: Callable[[Callable[[str], bool]], Iterator[Sample]] | None = None
    left_out: set[str] = field(default_factory=set)
    unread: set[str] = field(default_factory=set)
    unnamed: dict[str, int] = field(default_factory=dict)
    is_folder: bool = False
    roots: Mapping[str, str] = field(default_factory=dict)
    containers: Containers = field(default_factory=Containers)

    def __iter__(self) -> Iterator[Sample]:
        return self.listing()

    def only(self, wanted: Callable[[str], bool]) -> Source:
        """The source restricted to wanted keys, for one of several runs that share a source."""
        if (sift := self.sift) is not None:
            return replace(self, listing=lambda: sift(wanted))
        return replace(self, listing=lambda: (s for s in self if wanted(s.key)))
