"""Merge many small parts into few, by one atomic exchange of the whole directory."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from segcli.cloud.ahead import in_threads
from segcli.cloud.urls import url_of
from segcli.files import reporting
from segcli.store.bucket_place import Bucket
from segcli.store.directory import (
    list_bucket_parts,
    make_folders,
    resolve,
    staging_path,
    sync_directory,
)
from segcli.store.footer import Footer
from segcli.store.output_lock import lock_output
from segcli.store.part_file import images_of, open_part, read_part, write_part
from segcli.store.part_reader import part_paths
from segcli.store.part_writer import part_name
from segcli.store.place import Disk, remove_stale, staging_paths
from segcli.store.pruned import finish
from segcli.store.swap import exchange


@dataclass(frozen=True, slots=True)
class _Part:
    """The footer and the columns of a part, and when it was written."""

    footer: Footer
    columns: pa.Schema
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Compacted:
    """The number of parts before and after, and of the images in them."""

    before: int
    after: int
    images: int


def compact(path: Path, *, images: int, wait: bool = False) -> Compacted:
    """Merge parts until they have about `images` images; larger parts are kept unchanged.

    The rows stay the same, and a run can be resumed as before. Readers see either the old or the
    new parts; a reader that listed the old parts and opens them afterwards gets an error. After a
    kill, the directory has either the old or the new parts. In a bucket, each new part is exchanged
    for its old ones in one step, but only for readers that know segcli.store.exchange. Raises
    Locked unless `wait`, UsageError if the file system cannot exchange directories, and OutputError
    if it cannot be written.
    """
    real = resolve(path)
    part_paths(real)  # there must be an output, before a lock is made for one
    with lock_output(path, wait=wait) as lock:
        if lock.lease is not None:
            return _compact_bucket(Bucket(real, lock.lease.check), images)
        for stale in staging_paths(real, None):
            remove_stale(stale)
        finish(Disk(real, staging_path(real)))
        before = part_paths(real)
        parts = {part: _read(part, part.stat().st_mtime_ns) for part in before}
        groups = list(_groups(parts, images))
        total = sum(part.footer.images for part in parts.values())
        if len(groups) < len(before):
            _rebuild(real, groups, parts)
        return Compacted(len(before), len(groups), total)


def _compact_bucket(bucket: Bucket, images: int) -> Compacted:
    bucket.finish_exchange()
    finish(bucket)
    listed = dict(list_bucket_parts(str(url_of(bucket.directory))))
    names = {bucket.directory / name: name for name in sorted(listed)}
    read = in_threads(lambda path: _read(path, listed[names[path]].mtime_ns or 0), names)
    parts = dict(zip(names, read, strict=True))
    groups = list(_groups(parts, images))
    for group in groups:
        if len(group) > 1:
            name, rows, footer = _merged(group, parts, bucket.directory)
            bucket.exchange([names[path] for path in group], name, rows, footer)
    return Compacted(len(parts), len(groups), sum(part.footer.images for part in parts.values()))


def _read(path: Path, mtime_ns: int) -> _Part:
    with open_part(path, whole=False) as (file, footer):
        # The schema's metadata is the footer itself, which differs from part to part.
        return _Part(footer, file.schema_arrow.remove_metadata(), mtime_ns)


def _groups(parts: dict[Path, _Part], images: int) -> Iterator[list[Path]]:
    """Groups of parts to merge, in the order in which they were written.

    They have the same settings, source, columns and partition, and all or none have been tracked;
    versions of segcli may differ.
    """
    pending: dict[tuple[Path, bytes, pa.Schema], list[Path]] = {}
    for path in sorted(parts, key=lambda p: (parts[p].mtime_ns, p.name)):
        footer, columns = parts[path].footer, parts[path].columns
        bare = replace(footer.settings, recorded={}, shard=None)
        alike = replace(
            footer, settings=bare, images=0, failed=0, masks=0, static=0, redone={},
            begun=None, ended=None, complete=frozenset(), tracking=None, late=0, rewritten=(),
        ).to_json()  # fmt: skip
        group = pending.setdefault((path.parent, alike, columns), [])
        if group and sum(parts[p].footer.images for p in group) + footer.images > images:
            yield group
            group = pending[path.parent, alike, columns] = []
        group.append(path)
    yield from pending.values()


def _rebuild(real: Path, groups: Sequence[Sequence[Path]], parts: dict[Path, _Part]) -> None:
    """Replace the directory by one with the new parts and links to those that are kept."""
    home = staging_path(real)
    fresh = home / real.name
    try:
        with reporting(real, "compact", advice="it is as it was"):
            fresh.mkdir(parents=True)
            shutil.copystat(real, fresh)
            for group in groups:
                name = group[0].relative_to(real).as_posix()
                make_folders(fresh, name)
                if len(group) == 1:
                    os.link(group[0], fresh / name)
                else:
                    _merge(group, parts, real, fresh)
            for folder in {(fresh / path.relative_to(real)).parent for path in parts}:
                sync_directory(folder)
            sync_directory(fresh)
            exchange(fresh, real)
            sync_directory(real.parent)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _merge(group: Sequence[Path], parts: dict[Path, _Part], real: Path, fresh: Path) -> None:
    name, rows, footer = _merged(group, parts, real)
    write_part(fresh / name, rows, footer)
    # As new as its newest image: `status` and `prune` go by it.
    newest_ns = max(parts[path].mtime_ns for path in group)
    os.utime(fresh / name, ns=(newest_ns, newest_ns))


def _merged(
    group: Sequence[Path], parts: dict[Path, _Part], real: Path
) -> tuple[str, pa.Table, Footer]:
    """One part of all of these: its name, rows and footer."""
    rows = pa.concat_tables([read_part(path)[0] for path in group])
    newest = parts[group[-1]].footer
    shards = {parts[path].footer.settings.shard for path in group}
    shard = newest.settings.shard if len(shards) == 1 else None
    begun, ended = _times([parts[path].footer for path in group])
    complete = frozenset[bytes]().union(*(parts[path].footer.complete for path in group))
    settings = replace(newest.settings, shard=shard)
    footer = replace(
        newest, settings=settings, begun=begun, ended=ended, complete=complete,
        tracking=_tracking([parts[path].footer for path in group]),
        late=sum(parts[path].footer.late for path in group),
        rewritten=tuple(key for path in group for key in parts[path].footer.rewritten),
    )  # fmt: skip
    images, old = images_of(rows), {path.name for path in group}
    name = part_name(images)
    while name in old:  # of a part that had all of these images before some were pruned
        name = part_name([*images, name])
    return group[0].with_name(name).relative_to(real).as_posix(), rows, footer


def _tracking(footers: Sequence[Footer]) -> Mapping[str, Any] | None:
    """The last state of the tracks that one of these parts has."""
    found = [footer.tracking for footer in footers if footer.tracking is not None]
    return max(found, key=lambda state: state["number"], default=None)


def _times(footers: Sequence[Footer]) -> tuple[float | None, float | None]:
    """From when to when the run worked that made all of these parts; None where several did."""
    begun = [footer.begun for footer in footers if footer.begun is not None]
    ended = [footer.ended for footer in footers if footer.ended is not None]
    runs = {footer.settings.recorded.get("run") for footer in footers}
    if len(runs) > 1 or not len(begun) == len(ended) == len(footers):
        return None, None
    return min(begun), max(ended)
