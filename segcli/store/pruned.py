"""Images whose rows `segcli prune` has removed: their keys, which runs skip, and their counts.

    masks.parquet.pruned/20261127T071208.123456Z/keys.parquet    16 bytes per image
                                                 counts.parquet  per day, if they are kept
                         20261127T071208.123456Z.pending/        rows are being removed

Each pruning has a folder, which appears in one step before any row is removed, and loses the
suffix `.pending` when all of them are. What a kill leaves is finished under the next lock, by
`finish`. Until then an image that still has its rows counts as one that has rows.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from segcli.cloud.urls import is_url, shown
from segcli.errors import UsageError
from segcli.files import reporting
from segcli.store.directory import list_parts, resolve, staging_path, sync_directory
from segcli.store.footer import Footer
from segcli.store.key_index import KeyIndex, with_parts
from segcli.store.part_file import read_footers, read_marks, read_part, write_file
from segcli.store.part_reader import part_paths
from segcli.store.part_writer import part_name
from segcli.store.place import Disk
from segcli.store.repeated import rows_of
from segcli.store.tracks_end import keep_tracks

_UNFINISHED, _PENDING = ".unfinished", ".pending"
_KEYS, _COUNTS, _FACTS = "keys.parquet", "counts.parquet", b"segcli_pruned"
_VERSION = 1
_FOLDER = re.compile(r"\d{8}T\d{6}\.\d{6}Z(\.pending)?")
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


def pruned_path(real: Path) -> Path:
    return real.with_name(f"{real.name}.pruned")


def load_pruned(real: Path) -> PrunedKeys:
    """The keys of all prunings of the output, also of one that was interrupted.

    Raises UsageError if they cannot be read.
    """
    found = PrunedKeys()
    for folder in _folders(real):
        pruning = _read(folder)
        numbers = [found.number_of(origin) for origin in pruning.origins or (None,)]
        found.index.insert(with_parts(pruning.packed, numbers))
        for container, (images, failed) in pruning.containers.items():
            found.images_in[container] += images
            found.failed_in[container] += failed
    return found


def count_pruned(real: Path) -> int:
    """How many images were pruned and have no rows now. Raises UsageError."""
    total = 0
    for folder in _folders(real):
        pruning = _read(folder)
        total += pruning.images
        if folder.name.endswith(_PENDING):
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
    paths = [folder / _COUNTS for folder in _folders(real) if (folder / _COUNTS).exists()]
    if not paths:
        raise UsageError(
            f"{real} has no counts of pruned images: `segcli prune` keeps them on request"
        )
    try:
        return pa.concat_tables([pq.read_table(path) for path in paths])
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(pruned_path(real), error) from error


def record(real: Path, pruning: Pruning, counts: pa.Table | None) -> None:
    """Note that the images are to be removed; `finish` then removes them. Raises OutputError."""
    home = pruned_path(real)
    name = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
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
    with reporting(home, advice="no row was removed"):
        is_new = not home.exists()
        home.mkdir(exist_ok=True)
        if is_new:
            sync_directory(home.parent)
        for stale in home.glob(f"*{_UNFINISHED}"):
            shutil.rmtree(stale)
        folder = home / f"{name}{_UNFINISHED}"
        folder.mkdir()
        for file, table in ((_KEYS, keys), (_COUNTS, counts)):
            if table is not None:
                sink = pa.BufferOutputStream()
                pq.write_table(table, sink, compression="zstd")
                write_file(folder / file, memoryview(sink.getvalue()))
        sync_directory(folder)
        os.rename(folder, home / f"{name}{_PENDING}")
        sync_directory(home)


def finish(real: Path) -> None:
    """Remove the rows of prunings that are noted but not finished; the lock of the output is held.

    Raises OutputError, or UsageError if something cannot be read.
    """
    for folder in _folders(real):
        if folder.name.endswith(_PENDING):
            _remove_rows(real, _read(folder))
            with reporting(folder, "rename"):
                os.rename(folder, folder.with_name(folder.name.removesuffix(_PENDING)))
                sync_directory(folder.parent)


def _remove_rows(real: Path, pruning: Pruning) -> None:
    """Whole parts first, which frees space; each step leaves every part whole."""
    place = Disk(real, staging_path(real))
    names = {*list_parts(real)}
    marked = [*_marked(real, pruning, names)]
    whole = [name for name, _, is_all in marked if is_all]
    rest = names - {*whole}
    if whole and not rest:
        # Readers take no empty folder for an output.
        rows, footer = read_part(real / whole[0])
        place.add(EMPTY, rows.slice(0, 0), _bare(footer), create=False, check=lambda: None)
    keep_tracks(place, whole)
    for name in whole:
        place.remove(name)
    for name, gone, is_all in marked:
        if not is_all:
            _rewrite(place, name, gone)
    if EMPTY in rest and len(rest) > 1:
        keep_tracks(place, [EMPTY])
        place.remove(EMPTY)
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
        gone = []
        for mark in marks:
            entry = index.find(mark.key)
            if entry and entry.same_size(mark.size_bytes) and entry.same_mtime(mark.mtime_ns):
                gone.append(mark.key)
        if gone:
            yield name, gone, len(gone) == len(marks)


def _rewrite(place: Disk, name: str, gone: Sequence[str]) -> None:
    about = (place.directory / name).stat()
    rows, footer, state = place.read(name)
    place.replace(name, rows_of(rows, gone, others=True), _bare(footer), state)
    # The part is as new as its images: `status` shows when the last ones came.
    os.utime(place.directory / name, ns=(about.st_atime_ns, about.st_mtime_ns))


def _bare(footer: Footer) -> Footer:
    """Without the times, because the speed of the run would be that of fewer images."""
    return replace(footer, begun=None, ended=None)


def _folders(real: Path) -> list[Path]:
    """Those of all prunings, the oldest first."""
    if is_url(real):
        return []
    home = pruned_path(real)
    try:
        names = sorted(os.listdir(home))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unreadable(home, error) from error
    return [home / name for name in names if _FOLDER.fullmatch(name)]


def _read(folder: Path) -> Pruning:
    try:
        path = folder / _KEYS
        if not folder.exists():  # it has been finished meanwhile
            path = folder.with_name(folder.name.removesuffix(_PENDING)) / _KEYS
        table = pq.read_table(path)
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
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(folder, error) from error


def _unreadable(path: Path, error: Exception) -> UsageError:
    reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
    return UsageError(
        f"cannot read {path}, the keys of images that were pruned: {reason}; copy it again, or "
        f"remove it, and these images are processed again where their files exist"
    )
