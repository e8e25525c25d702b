"""Fill the column `track_id` of an output, and store where its tracks ended.

The state of all tracks is in the footer of one part. It is written last, so a run that is killed
leaves the state of the run before, and the next one computes the same rows again.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from segcli.cloud.urls import is_url, shown
from segcli.errors import UsageError
from segcli.store.copying import copy_rows
from segcli.store.directory import list_parts, resolve
from segcli.store.footer import Footer, fresh_path
from segcli.store.image_masks import COLUMNS, Mask, mask_of
from segcli.store.output import place_of
from segcli.store.output_lock import lock_output
from segcli.store.part_file import open_part, read_footers
from segcli.store.part_reader import part_columns, part_paths
from segcli.store.place import Place, remove_stale, staging_paths

_OF_MASKS = [name for name in COLUMNS if name not in ("status", "height", "width")]


@dataclass(slots=True)
class TrackIds:
    """What is to be written into a part: `ids` of masks by (key, number of the mask). Images in
    `seen` have no ids but these; others keep what they have. `late`: the part is tracked from now
    on, and so many of its images came late (see Footer); None: that stays as it is."""

    ids: dict[str, dict[int, int]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    late: int | None = None

    def add(self, key: str, mask: int, track: int) -> None:
        self.ids.setdefault(key, {})[mask] = track


class Tracked:
    """The parts of an output that is locked. `state` is what `write` was given last, or None.

    `fresh` are the names of the parts that have not been tracked; `late` and `rewritten` are what
    the footers of the others state, until `settle`.
    """

    def __init__(self, place: Place, footers: Mapping[str, Footer]) -> None:
        self.fresh = {name for name, footer in footers.items() if not footer.tracked}
        self.late = sum(footer.late for footer in footers.values())
        self.rewritten = [key for footer in footers.values() for key in footer.rewritten]
        self._noted = {name for name, footer in footers.items() if footer.late or footer.rewritten}
        self._place = place
        holders = {name: f.tracking for name, f in footers.items() if f.tracking is not None}
        newest = max(holders, key=lambda name: holders[name]["number"], default=None)
        self.state: Mapping[str, Any] | None = None if newest is None else holders[newest]
        self._holders = set(holders)

    @property
    def names(self) -> list[str]:
        """The parts, in order."""
        return list_parts(self._place.directory)

    @property
    def paths(self) -> list[Path]:
        """The same as paths."""
        return [self._place.directory / name for name in self.names]

    def write(self, changes: Mapping[str, TrackIds], state: Mapping[str, Any], holder: str) -> None:
        """Write `changes` by the names of their parts, then the state, into the part `holder`.

        Each part is swapped as a whole. Raises OutputError.
        """
        number = 1 if self.state is None else self.state["number"] + 1
        state = {**state, "number": number}
        for name, some in changes.items():
            if name != holder:
                self._rewrite(name, some, None)
        self._rewrite(holder, changes.get(holder, TrackIds()), state)
        self.state = state
        for name in sorted(self._holders - {holder}):
            rows, footer, read = self._place.read(name)
            self._replace(name, rows, replace(footer, tracking=None), read)
        self._holders = {holder}

    def mark(self, late: Mapping[str, int]) -> None:
        """Note that these parts are tracked, with the number of their late images."""
        for name, count in late.items():
            self._rewrite(name, TrackIds(late=count), None)

    def settle(self) -> None:
        """Forget the late and the rewritten images, which the pass reports. After a kill, the next
        pass reports those of the parts that are left."""
        for name in sorted(self._noted):
            rows, footer, read = self._place.read(name)
            self._replace(name, rows, replace(footer, late=0, rewritten=()), read)
        self._noted = set()

    def _rewrite(self, name: str, changes: TrackIds, state: Mapping[str, Any] | None) -> None:
        rows, footer, read = self._place.read(name)
        new = _with_ids(rows, changes)
        if new is None and state is None and changes.late is None:
            return
        if state is not None:
            footer = replace(footer, tracking=state)
        if changes.late is not None:
            footer = replace(footer, tracked=True, late=changes.late)
            self._noted |= {name} if changes.late else set()
        self._replace(name, rows if new is None else new, footer, read)

    def _replace(self, name: str, rows: pa.Table, footer: Footer, read: object) -> None:
        path = self._place.directory / name
        if is_url(path):
            self._place.replace(name, rows, footer, read)
            return
        about = path.stat()
        self._place.replace(name, rows, footer, read)
        # The part is as new as its images: `status` shows when the last ones came.
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


@contextlib.contextmanager
def open_tracked(
    path: Path,
    *,
    source: Path | None = None,
    wait: bool = False,
    waiting: Callable[[str], None] | None = None,
) -> Iterator[Tracked]:
    """Lock an output to write track ids into it; `source`: it is a copy of that output, and is
    brought up to date first.

    Raises Locked unless `wait`, and UsageError if it does not exist or has no column for them.
    """
    real = resolve(path)
    part_paths(source or path)  # there must be an output, before a lock is made for one
    with lock_output(path, wait=wait, waiting=waiting) as lock:
        if not is_url(real):
            for stale in staging_paths(real, None):
                remove_stale(stale)
        place = place_of(real, None, lock)
        if source is not None:
            copy_rows(source, path, place)
        if "track_id" not in part_columns(path):
            raise UsageError(
                f"{shown(path)} was begun by an earlier version of segcli and has no column for "
                f"tracks; make a tracked copy of it: `out={str(fresh_path(path))!r}`"
            )
        paths = part_paths(path)
        names = [p.relative_to(real).as_posix() for p in paths]
        yield Tracked(place, dict(zip(names, read_footers(paths), strict=True)))
        place.clear(everything=False)


def read_some_masks(
    part: Path, keys: Collection[str], min_score: float
) -> dict[str, tuple[Mask, ...]]:
    """Key -> masks of these images with at least this score, best first; none without masks."""
    import pyarrow.compute as pc

    with open_part(part) as (file, _):
        rows = file.read(_OF_MASKS)
    wanted = pc.and_kleene(
        pc.greater_equal(rows["score"], min_score),
        pc.is_in(rows["key"], value_set=pa.array(list(keys), pa.string())),
    )
    found: dict[str, list[Mask]] = {}
    for row in rows.filter(pc.fill_null(wanted, False)).to_pylist():
        found.setdefault(row["key"], []).append(mask_of(row))
    return {key: tuple(masks) for key, masks in found.items()}


def _with_ids(rows: pa.Table, changes: TrackIds) -> pa.Table | None:
    """The rows with other ids; None where nothing changes."""
    old = rows["track_id"].to_pylist()
    new = list(old)
    pairs = zip(rows["key"].to_pylist(), rows["mask"].to_pylist(), strict=True)
    for i, (key, mask) in enumerate(pairs):
        given = changes.ids.get(key, {}).get(mask)
        if given is not None or key in changes.seen:
            new[i] = given
    if new == old:
        return None
    index = rows.column_names.index("track_id")
    kind = rows.schema.field(index)
    return rows.set_column(index, kind, pa.array(new, kind.type))
