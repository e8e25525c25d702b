"""A source with its archives opened, and the columns that archives and videos add."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice

from segcli.sources import clip_times
from segcli.sources.archive import SHARDS, decide_columns, with_members
from segcli.sources.clips import is_clip
from segcli.sources.containers import Containers
from segcli.sources.folder import is_archive_name, is_video_name
from segcli.sources.source import Source
from segcli.types import Sample

_LOOKED_AT = 5000  # samples of a source, among which shards are looked for before the run


def with_archives(source: Source, containers: Containers, *, decides: bool) -> Source:
    """The source with archives replaced by their images. The images of each archive are divided
    among the shards, so no shard leaves out an archive by its name. `decides`: the columns of
    sidecars are decided now."""
    listing, sift, carried = source.listing, source.sift, source.carried
    options = containers.opens, containers.sidecars, containers.unread
    first = list(_first_containers(source)) if decides else []
    if decide_columns(first, containers.sidecars):
        carried = {**(containers.sidecars.types or {}), **carried}
    if containers.records_times and any(map(is_clip, first)):
        carried = {**clip_times.columns(), **carried}

    def sifted(wanted: Callable[[str], bool]) -> Iterator[Sample]:
        assert sift is not None
        samples = sift(lambda key: is_archive_name(key) or wanted(key))
        return (sample for sample in with_members(samples, *options) if wanted(sample.key))

    return replace(
        source,
        listing=lambda: with_members(listing(), *options),
        carried=carried,
        sift=None if sift is None else sifted,
    )


def _first_containers(source: Source) -> Iterator[Sample]:
    """A few archives and a video among the first samples; of a folder only names are read."""
    seen = 0
    left = {is_archive_name: SHARDS, is_video_name: 1}

    def is_wanted(key: str) -> bool:
        nonlocal seen
        seen += 1
        if seen > _LOOKED_AT:
            raise EOFError
        for is_kind, count in left.items():
            if count and is_kind(key):
                left[is_kind] -= 1
                return True
        return False

    if source.sift is None:
        yield from (s for s in islice(source, _LOOKED_AT) if is_wanted(s.path))
        return
    try:
        yield from source.sift(is_wanted)
    except EOFError:
        return
