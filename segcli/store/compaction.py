"""Many small parts become few: all at once, by an exchange of the whole directory."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from segcli.errors import OutputError, UsageError
from segcli.store.claim import claim
from segcli.store.directory import check_place, resolve, staging_path, sync_directory
from segcli.store.footer import Footer
from segcli.store.output import remove_stale, staging_paths
from segcli.store.part_reader import part_paths
from segcli.store.part_writer import images_of, part_name, read_footer, read_part, write_part
from segcli.store.swap import exchange


@dataclass(frozen=True, slots=True)
class Compacted:
    """How many parts there were and are, and how many images they hold."""

    before: int
    after: int
    images: int


def compact(path: Path, *, images: int, wait: bool = False) -> Compacted:
    """Merge parts until they have about `images` images; larger ones stay as they are.

    The rows stay the same, and so does what a resume knows. Readers see the old parts or the new,
    and one that listed the old and opens them afterwards is told that they are gone; a kill leaves
    either. Raises Locked unless `wait`, UsageError where the file system cannot exchange
    directories, OutputError when it cannot be written.
    """
    real = resolve(path)
    check_place(real)
    before = part_paths(real)
    (lock,) = claim(real, output=path, split=None, wait=wait)
    try:
        for stale in staging_paths(real, None):
            remove_stale(stale)
        before = part_paths(real)
        footers = {part: read_footer(part) for part in before}
        groups = list(_groups(footers, images))
        total = sum(footer.images for footer in footers.values())
        if len(groups) < len(before):
            _rebuild(real, groups, footers)
        return Compacted(len(before), len(groups), total)
    finally:
        lock.close()


def _groups(footers: dict[Path, Footer], images: int) -> Iterator[list[Path]]:
    """Parts that become one: of the same settings and source, in the order in which they came."""
    pending: dict[bytes, list[Path]] = {}
    for part in sorted(footers, key=lambda p: (p.stat().st_mtime_ns, p.name)):
        footer = footers[part]
        bare = replace(footer.facts, recorded={}, shard=None)
        alike = replace(footer, facts=bare, images=0, failed=0, masks=0, redone={}).to_json()
        group = pending.setdefault(alike, [])
        if group and sum(footers[p].images for p in group) + footer.images > images:
            yield group
            group = pending[alike] = []
        group.append(part)
    yield from pending.values()


def _rebuild(real: Path, groups: Sequence[Sequence[Path]], footers: dict[Path, Footer]) -> None:
    """A directory of the new parts, and of links to those that stay, takes the old one's place."""
    home = staging_path(real)
    fresh = home / real.name
    try:
        fresh.mkdir(parents=True)
        shutil.copystat(real, fresh)
        for group in groups:
            if len(group) == 1:
                os.link(group[0], fresh / group[0].name)
            else:
                _merge(group, footers, fresh)
        sync_directory(fresh)
        exchange(fresh, real)
        sync_directory(real.parent)
    except OSError as e:
        raise OutputError(f"cannot compact {real}: {e.strerror or e}; it is as it was") from e
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _merge(group: Sequence[Path], footers: dict[Path, Footer], fresh: Path) -> None:
    tables = [read_part(part)[0] for part in group]
    if len({str(table.schema) for table in tables}) > 1:
        raise UsageError(f"{group[0].parent} holds parts of different columns: leave it as it is")
    rows = pa.concat_tables(tables)
    newest = footers[group[-1]]
    shards = {footers[part].facts.shard for part in group}
    shard = newest.facts.shard if len(shards) == 1 else None
    footer = replace(newest, facts=replace(newest.facts, shard=shard))
    write_part(fresh / part_name(images_of(rows)), rows, footer)
