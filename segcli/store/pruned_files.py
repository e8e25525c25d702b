"""Where the files of prunings are: in folders next to the output, on a disk or in a bucket.

    masks.parquet.pruned/20261127T071208.123456Z/keys.parquet    16 bytes per image
                                                 counts.parquet  per day, if they are kept

On a disk, the folder appears by one rename, with the suffix `.pending`, and loses it when all rows
are removed. In a bucket, `keys.parquet` is put last, and the rows are removed once there is an
object `finished` with it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from segcli.cloud.errors import StoreError
from segcli.cloud.objects import list_objects
from segcli.cloud.urls import joined, shown, split_bucket, url_of
from segcli.cloud.writing import delete, find, put_new
from segcli.errors import OutputError, UsageError
from segcli.files import reporting
from segcli.store.bucket_place import Bucket
from segcli.store.directory import sync_directory
from segcli.store.part_file import write_file
from segcli.store.place import Place

KEYS, COUNTS = "keys.parquet", "counts.parquet"
_FINISHED = "finished"
_UNFINISHED, _PENDING = ".unfinished", ".pending"
_NAMED = "%Y%m%dT%H%M%S.%fZ"
_NAME = re.compile(r"\d{8}T\d{6}\.\d{6}Z")


@dataclass(frozen=True, slots=True)
class Noted:
    """A pruning, by the name of its folder below `home`. `is_pending`: rows are to be removed."""

    home: Path
    name: str
    is_pending: bool
    has_counts: bool


def pruned_path(real: Path) -> Path:
    """The folder of all prunings of an output."""
    return real.with_name(f"{real.name}.pruned")


def noted(real: Path) -> list[Noted]:
    """All prunings of an output, the oldest first. Raises UsageError if they cannot be listed."""
    home = pruned_path(real)
    if (url := url_of(home)) is not None:
        return [
            Noted(home, name, _FINISHED not in files, COUNTS in files)
            for name, files in sorted(_objects(url).items())
            if KEYS in files
        ]
    try:
        names = sorted(os.listdir(home))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unreadable(home, error) from error
    return [
        Noted(home, bare, bare != name, (home / name / COUNTS).exists())
        for name in names
        if _NAME.fullmatch(bare := name.removesuffix(_PENDING))
    ]


def _objects(url: str) -> dict[str, set[str]]:
    """The files of each pruning in a bucket; without its keys it has been given up."""
    found: dict[str, set[str]] = {}
    start = len(split_bucket(url)[1]) + 1
    try:
        for listed in list_objects(url):
            name, _, file = listed.key[start:].partition("/")
            if _NAME.fullmatch(name):
                found.setdefault(name, set()).add(file)
    except StoreError as error:
        raise UsageError(f"cannot list {shown(url)}: {error}") from None
    return found


def read_table(pruning: Noted, file: str, columns: pa.Schema) -> pa.Table:
    """One of its files, with these columns. Raises UsageError, also if it is damaged."""
    path = pruning.home / pruning.name / file
    try:
        table = pq.read_table(_opened(pruning, path), page_checksum_verification=True)
        # The order of the columns, and their names as text, are the first to be damaged.
        return table.select(columns.names).cast(columns.with_metadata(table.schema.metadata))
    except (pa.ArrowException, OSError, StoreError, UnicodeDecodeError, KeyError) as error:
        raise unreadable(path.parent, error) from error


def _opened(pruning: Noted, path: Path) -> Path | BytesIO:
    if (url := url_of(path)) is not None:
        there = find(url)
        if there is None:
            raise FileNotFoundError(f"{path.name} is not there")
        return BytesIO(there.data)
    pending = path.parent.with_name(f"{pruning.name}{_PENDING}") / path.name
    # It may have been finished meanwhile.
    return pending if pruning.is_pending and pending.exists() else path


def note(real: Path, place: Place, tables: Mapping[str, pa.Table]) -> None:
    """A new pruning, whose rows are to be removed. Raises OutputError."""
    name = _new_name(real)
    files = {file: _encoded(table) for file, table in tables.items()}
    if isinstance(place, Bucket):
        _put(place, pruned_path(real), name, files)
    else:
        _write(pruned_path(real), name, files)


def _new_name(real: Path) -> str:
    """The time now, or just after the last pruning if the clock has been set back since: of an
    image that was pruned in two states, the later one counts."""
    now = datetime.now(UTC)
    for last in noted(real)[-1:]:
        then = datetime.strptime(last.name, _NAMED).replace(tzinfo=UTC)
        now = max(now, then + timedelta(microseconds=1))
    return now.strftime(_NAMED)


def _encoded(table: pa.Table) -> memoryview:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    return memoryview(sink.getvalue())


def _write(home: Path, name: str, files: Mapping[str, memoryview]) -> None:
    with reporting(home, advice="no row was removed"):
        is_new = not home.exists()
        home.mkdir(exist_ok=True)
        if is_new:
            sync_directory(home.parent)
        for stale in home.glob(f"*{_UNFINISHED}"):
            shutil.rmtree(stale)
        folder = home / f"{name}{_UNFINISHED}"
        folder.mkdir()
        for file, data in files.items():
            write_file(folder / file, data)
        sync_directory(folder)
        os.rename(folder, home / f"{name}{_PENDING}")
        sync_directory(home)


def _put(place: Bucket, home: Path, name: str, files: Mapping[str, memoryview]) -> None:
    url = str(url_of(home))
    with _putting(url, "no row was removed"):
        for given_up, found in _objects(url).items():
            for file in found if KEYS not in found else ():
                delete(joined(url, f"{given_up}/{file}"))
        for file in sorted(files, key=lambda file: file == KEYS):  # the keys last
            place.lease_held()
            put_new(joined(url, f"{name}/{file}"), bytes(files[file]))
        place.lease_held()


def set_finished(pruning: Noted, place: Place) -> None:
    """All of its rows are removed. Raises OutputError."""
    folder = pruning.home / pruning.name
    if isinstance(place, Bucket):
        with _putting(shown(folder), "run the same command again"):
            place.lease_held()
            put_new(joined(str(url_of(folder)), _FINISHED), b"")
        return
    with reporting(folder, "rename"):
        os.rename(folder.with_name(f"{pruning.name}{_PENDING}"), folder)
        sync_directory(folder.parent)


@contextlib.contextmanager
def _putting(what: str, advice: str) -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        raise OutputError(f"cannot write {what}: {error}; {advice}") from None


def unreadable(path: Path, error: Exception) -> UsageError:
    reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
    return UsageError(
        f"cannot read {shown(path)}, the keys of images that were pruned: {reason}; copy it again, "
        f"or remove it, and these images are processed again where their files exist"
    )
