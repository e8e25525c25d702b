"""Images whose rows `segcli prune` has removed: their keys, which runs skip, and their counts.

Each pruning is noted in one step before any row is removed (`pruned_files`). What a kill leaves is
finished under the next lock, by `finish`. Until then an image that still has its rows counts as
one that has rows.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from segcli.cloud.ahead import in_threads
from segcli.cloud.urls import is_url, shown
from segcli.errors import UsageError
from segcli.store.directory import list_parts, resolve
from segcli.store.footer import Footer
from segcli.store.key_index import KeyIndex, with_parts
from segcli.store.part_file import read_footers, read_marks, read_part
from segcli.store.part_reader import part_paths
from segcli.store.part_writer import part_name
from segcli.store.place import Place
from segcli.store.pruned_files import (
    COUNTS,
    KEYS,
    Noted,
    note,
    noted,
    pruned_path,
    read_table,
    set_finished,
    unreadable,
)
from segcli.store.repeated import rows_of
from segcli.store.tracks_end import keep_tracks

_FACTS = b"segcli_pruned"
_VERSION = 1
_KEY_COLUMNS = pa.schema([("head", pa.uint64()), ("tail", pa.uint64())])
_COUNT_COLUMNS = pa.schema(
    [
        *((name, pa.string()) for name in ("day", "camera", "category")),
        *((name, pa.int64()) for name in ("images", "failed", "static", "images_with", "masks")),
    ]
)
EMPTY = part_name(())
"""The part without rows of an output whose images have all been pruned: it has the settings."""


@dataclass(frozen=True, slots=True)
class Pruning:
    """One pruning: `packed` keys (2, n), as `key_index.pack` makes them.

    Their part numbers are indices of `origins`: the key prefix and the source root. An earlier
    segcli wrote no origins. `parts` had the rows. `containers`: archive or video -> images and
    failed images in it. The counts are those of the images; `before` is ISO 8601, UTC.
    """

    packed: NDArray[np.uint64]
    origins: tuple[tuple[str, str], ...]
    parts: tuple[str, ...]
    containers: Mapping[str, tuple[int, int]]
    failed: int
    masks: int
    before: str

    @property
    def images(self) -> int:
        return int(self.packed.shape[1])


@dataclass(slots=True)
class PrunedKeys:
    """All keys that were pruned from an output, and how many images of each container.

    The part of an entry of `index` is an index of `origins`, see `Pruning`; None: not known.
    """

    index: KeyIndex = field(default_factory=KeyIndex)
    origins: list[tuple[str, str] | None] = field(default_factory=list)
    images_in: Counter[str] = field(default_factory=Counter)
    failed_in: Counter[str] = field(default_factory=Counter)

    def number_of(self, origin: tuple[str, str] | None) -> int:
        if origin not in self.origins:
            self.origins.append(origin)
        return self.origins.index(origin)

    def roots_of(self, prefix: str) -> set[str]:
        """The source roots of the pruned images whose keys have this prefix."""
        return {origin[1] for origin in self.origins if origin and origin[0] == prefix}


def load_pruned(real: Path) -> PrunedKeys:
    """The keys of all prunings of the output, also of one that was interrupted.

    Raises UsageError if they cannot be read.
    """
    found = PrunedKeys()
    for pruning in _read_all(noted(real)):
        numbers = [found.number_of(origin) for origin in pruning.origins or (None,)]
        found.index.insert(with_parts(pruning.packed, numbers))
        for container, (images, failed) in pruning.containers.items():
            found.images_in[container] += images
            found.failed_in[container] += failed
    return found


def refuse_keys_alone(real: Path, index: KeyIndex) -> None:
    """Raises UsageError if an output without parts has pruned keys: they are those of one that was
    removed, because one that was pruned always keeps a part."""
    if not len(index):
        return
    folder = shown(pruned_path(real))
    raise UsageError(
        f"{shown(real)} has no parts, but {folder} still has the keys of {len(index):,} images "
        f"that were pruned from an earlier output, which this run would skip; remove or rename "
        f"that folder to process them, or restore the output to go on with it"
    )


def count_pruned(real: Path) -> int:
    """How many images were pruned and have no rows now. Raises UsageError."""
    total = 0
    found = noted(real)
    for one, pruning in zip(found, _read_all(found), strict=True):
        total += pruning.images
        if one.is_pending:
            marks = _marked(real, pruning, {*list_parts(real)})
            total -= sum(len(gone) for _, gone, _ in marks)
    return total


def emptiness(out: Path) -> str | None:
    """A sentence on an output without images; None if it has some. Raises UsageError."""
    if any(footer.images for footer in read_footers(part_paths(out))):
        return None
    count = count_pruned(resolve(out))
    pruned = f": {count} {'was' if count == 1 else 'were'} pruned" if count else ""
    return f"{shown(out)} has no images{pruned}"


def read_counts(real: Path) -> pa.Table:
    """The counts that all prunings kept, see `retention.counts`; raises UsageError if none did."""
    found = [pruning for pruning in noted(real) if pruning.has_counts]
    if not found:
        raise UsageError(
            f"{shown(real)} has no counts of pruned images: `segcli prune` keeps them on request"
        )
    return pa.concat_tables([read_table(pruning, COUNTS, _COUNT_COLUMNS) for pruning in found])


def record(place: Place, pruning: Pruning, counts: pa.Table | None) -> None:
    """Note that the images are to be removed; `finish` then removes them. Raises OutputError."""
    facts = {
        "version": _VERSION,
        "origins": pruning.origins,
        "parts": pruning.parts,
        "containers": pruning.containers,
        "failed": pruning.failed,
        "masks": pruning.masks,
        "before": pruning.before,
    }
    keys = pa.table({"head": pruning.packed[0], "tail": pruning.packed[1]}).replace_schema_metadata(
        {_FACTS: json.dumps(facts)}
    )
    note(place.directory, place, {KEYS: keys} | ({} if counts is None else {COUNTS: counts}))


def finish(place: Place) -> None:
    """Remove the rows of prunings that are noted but not finished; the lock of the output is held.

    Raises OutputError, or UsageError if something cannot be read.
    """
    for one in noted(place.directory):
        if one.is_pending:
            _remove_rows(place, _read(one))
            set_finished(one, place)


def _remove_rows(place: Place, pruning: Pruning) -> None:
    """Whole parts first, which frees space; each step leaves every part whole."""
    real = place.directory
    names = {*list_parts(real)}
    marked = [*_marked(real, pruning, names)]
    whole = [name for name, _, is_all in marked if is_all]
    rest = names - {*whole}
    if whole and not rest:
        # Readers take no empty folder for an output.
        rows, footer = read_part(real / whole[0])
        name = str(PurePosixPath(whole[0]).with_name(EMPTY))
        place.add(name, rows.slice(0, 0), _bare(footer), create=False, check=lambda *_: None)
    keep_tracks(place, whole)
    for name in whole:
        place.remove(name)
    for name, gone, is_all in marked:
        if not is_all:
            _rewrite(place, name, gone)
    empty = next((name for name in rest if name.endswith(EMPTY)), None)
    if empty is not None and len(rest) > 1:
        keep_tracks(place, [empty])
        place.remove(empty)
    place.clear(everything=False)


def _marked(real: Path, pruning: Pruning, names: set[str]) -> Iterator[tuple[str, list[str], bool]]:
    """The parts that still have rows of pruned images: (part, their keys, whether that is all).

    An image that has been processed again since, because its file had changed, is not one of them.
    """
    index = KeyIndex()
    index.insert(pruning.packed)
    for name in pruning.parts:
        if name not in names:
            continue
        marks, _, _ = read_marks(real / name)
        gone = [mark.key for mark in marks if index.has(mark)]
        if gone:
            yield name, gone, len(gone) == len(marks)


def _rewrite(place: Place, name: str, gone: Sequence[str]) -> None:
    path = place.directory / name
    about = None if is_url(path) else path.stat()
    rows, footer, state = place.read(name)
    place.replace(name, rows_of(rows, gone, others=True), _bare(footer), state)
    if about is not None:
        # The part is as new as its images: `status` shows when the last ones came.
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def _bare(footer: Footer) -> Footer:
    """Without the time at which it was begun, because the speed of the run would be that of fewer
    images. When it ended is the time of images without any other."""
    return replace(footer, begun=None)


def _read_all(found: Sequence[Noted]) -> Iterator[Pruning]:
    """Those in a bucket are fetched ahead."""
    is_remote = any(is_url(one.home) for one in found)
    return in_threads(_read, found) if is_remote else map(_read, found)


def _read(one: Noted) -> Pruning:
    table = read_table(one, KEYS, _KEY_COLUMNS)
    try:
        facts: dict[str, Any] = json.loads(table.schema.metadata[_FACTS])
        if facts["version"] != _VERSION:
            raise ValueError(f"it was written by another version of segcli ({facts['version']})")
        packed = np.stack([table[name].to_numpy() for name in ("head", "tail")])
        return Pruning(
            packed=packed.astype(np.uint64),
            origins=tuple((prefix, root) for prefix, root in facts.get("origins", ())),
            parts=tuple(facts["parts"]),
            containers={key: (n, failed) for key, (n, failed) in facts["containers"].items()},
            failed=facts["failed"],
            masks=facts["masks"],
            before=facts["before"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise unreadable(one.home / one.name, error) from error
