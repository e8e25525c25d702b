"""Remove the rows of images that are older than some age."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import numpy as np

from segcli.cloud.urls import url_of
from segcli.errors import UsageError
from segcli.keys import containers_of, normalized, prefixed
from segcli.retention.counts import counts_of
from segcli.stats.moments import moments_of, refuse_useless_pattern
from segcli.store import lock_output, min_scores, part_paths, read_settings
from segcli.store.bucket_place import Bucket
from segcli.store.directory import list_bucket_parts, resolve
from segcli.store.footer import ROOT
from segcli.store.key_index import Mark, pack
from segcli.store.output import place_of
from segcli.store.part_file import read_footer, read_footers
from segcli.store.place import Place, remove_stale, staging_paths
from segcli.store.pruned import Pruning, finish, record
from segcli.store.pruned_files import pruned_path
from segcli.store.query import Rows, literal
from segcli.time_patterns import compiled, states_date

_AT_ONCE = 100_000  # keys that are packed in one go


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneOptions:
    """`older_than` seconds; `time_pattern` and `time_column` as for statistics."""

    out: Path
    older_than: float
    keep_counts: bool = False
    time_pattern: str | None = None
    time_column: str | None = None
    dry_run: bool = False
    wait: bool = False


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed, or would be: images older than `before` (UTC) with their masks, in `parts`.

    `left` images have rows still; `keys` is the folder with the keys of the others.
    """

    before: datetime
    images: int
    failed: int
    masks: int
    parts: int
    left: int
    keys: Path


def prune(options: PruneOptions) -> Pruned:
    """Remove the rows of images that were taken before a time, whose keys a later run skips.

    The time of an image is that of statistics: the column or the name where one is given, else its
    metadata, else its file's; an image without any has the time at which it was processed. Times
    without a time zone count as UTC. Raises Locked when another process holds the output (unless
    `wait`), UsageError for a wrong pattern or column, OutputError when it cannot be written.
    """
    real = resolve(options.out)
    before = _before(options.older_than)
    _check_date(options)
    part_paths(real)  # there must be an output, before a lock is made for one
    if options.dry_run:
        return _prune(options, real, before, None)
    with lock_output(options.out, wait=options.wait) as lock:
        place = place_of(real, None, lock)
        if isinstance(place, Bucket):
            place.finish_exchange()
        else:
            for stale in staging_paths(real, None):
                remove_stale(stale)
        finish(place)
        return _prune(options, real, before, place)


def _before(older_than: float) -> datetime:
    try:
        return datetime.fromtimestamp(time.time() - older_than, UTC)
    except (OverflowError, OSError, ValueError) as error:
        raise UsageError(
            f"`older_than` {older_than / 86400:g}d is before the year 1; expected a shorter age, "
            f"e.g. 90d"
        ) from error


def _check_date(options: PruneOptions) -> None:
    """Raises UsageError for a pattern that would put the images of any day on one in 1970."""
    pattern = options.time_pattern
    if pattern is None or options.time_column is not None:
        return
    if {*compiled(pattern)[1]} != {"camera"} and not states_date(pattern):
        raise UsageError(
            f"`time_pattern` {pattern!r} does not state the whole date, by which rows are removed; "
            f"expected %Y (or %y), %m and %d, or %s"
        )


def _prune(options: PruneOptions, real: Path, before: datetime, place: Place | None) -> Pruned:
    """`place` is where the rows are removed; None: they are only counted."""
    parts = part_paths(real)
    with (
        tempfile.TemporaryDirectory(prefix="segcli-prune-") as spill,
        Rows(parts, static="repeat", spill=Path(spill)) as rows,
    ):
        _select(rows, options, parts, real, before)
        ((total,),) = rows.tuples("SELECT count(*) FROM rows WHERE mask IS NULL OR mask = 0")
        pruning = _pruning(rows, parts, real, before)
        if pruning.images and place is not None:
            scores = min_scores(read_settings(real), None)
            record(place, pruning, counts_of(rows, scores) if options.keep_counts else None)
    if place is not None:
        finish(place)
    return Pruned(
        before=before,
        images=pruning.images,
        failed=pruning.failed,
        masks=pruning.masks,
        parts=len(pruning.parts),
        left=total - pruning.images,
        keys=pruned_path(options.out),
    )


def _select(
    rows: Rows, options: PruneOptions, parts: Sequence[Path], real: Path, before: datetime
) -> None:
    """Make the table `gone`: one row per image that is older."""
    found = moments_of(
        rows.types, pattern=options.time_pattern, column=options.time_column, exif=False
    )
    if options.time_pattern is not None:
        rows.execute(
            f"CREATE VIEW images AS SELECT key, {found.time_from} AS time_from, "
            f"{found.camera_from} AS camera_from FROM rows WHERE mask IS NULL OR mask = 0"
        )
        refuse_useless_pattern(options.time_pattern, options.out, rows)
    columns = {"part": "BIGINT", "processed": "TIMESTAMP"}
    rows.table("made", columns, enumerate(_processed(parts, real)))
    moment = f"coalesce({found.time}, made.processed)"
    limit = f"TIMESTAMP {literal(before.isoformat(' ', 'seconds')[:19])}"
    has_static = "repeats" in rows.types
    status, masks = "status", "masks"
    if has_static:  # whose masks count, but are stored once
        status = "CASE WHEN repeats IS NULL THEN status ELSE 'static' END"
        masks = "CASE WHEN repeats IS NULL THEN masks END"
    rows.execute(
        f"CREATE TABLE gone AS SELECT made.part AS part, image, key, {status} AS status, "
        f"size_bytes, mtime_ns, "
        f"coalesce({masks}, 0) AS masks, {moment} AS moment, {found.camera} AS camera "
        f"FROM rows JOIN made ON rows.part = made.part "
        f"WHERE (mask IS NULL OR mask = 0) AND {moment} < {limit}"
    )
    if has_static:  # an image stays as long as a later one repeats it
        rows.execute(
            "DELETE FROM gone WHERE (part, key) IN (SELECT part, repeats FROM rows "
            "WHERE repeats IS NOT NULL AND image NOT IN (SELECT image FROM gone))"
        )


def _processed(parts: Sequence[Path], real: Path) -> Iterator[datetime]:
    """When the images of each part were processed, at the latest."""
    url = url_of(real)
    listed = {} if url is None else dict(list_bucket_parts(url))
    for part, footer in zip(parts, read_footers(parts), strict=True):
        seconds = footer.ended
        if seconds is None and (name := part.relative_to(real).as_posix()) in listed:
            seconds = (listed[name].mtime_ns or 0) / 1e9
        if seconds is None:
            seconds = part.stat().st_mtime
        yield datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)


def _pruning(rows: Rows, parts: Sequence[Path], real: Path, before: datetime) -> Pruning:
    containers: dict[str, tuple[int, int]] = {}
    packed = [np.empty((2, 0), np.uint64)]
    names = rows.tuples("SELECT DISTINCT part FROM gone ORDER BY part")
    by_origin: dict[tuple[str, str], list[int]] = {}
    for (number,) in names:
        by_origin.setdefault(_origin(parts[number]), []).append(number)
    for at, numbers in enumerate(by_origin.values()):
        marks = _marks(rows, containers, numbers)
        while some := list(islice(marks, _AT_ONCE)):
            packed.append(pack(some, at, fresh=False))
    ((failed, masks),) = rows.tuples(
        "SELECT count(*) FILTER (status = 'failed'), coalesce(sum(masks), 0)::BIGINT FROM gone"
    )
    return Pruning(
        packed=np.concatenate(packed, axis=1),
        origins=tuple(by_origin),
        parts=tuple(parts[number].relative_to(real).as_posix() for (number,) in names),
        containers=containers,
        failed=failed,
        masks=masks,
        before=before.isoformat(timespec="seconds"),
    )


def _origin(part: Path) -> tuple[str, str]:
    """The key prefix and the source root of its images."""
    settings = read_footer(part).settings
    return prefixed("", settings.key_prefix), str(settings.compared.get(ROOT))


def _marks(
    rows: Rows, containers: dict[str, tuple[int, int]], parts: Sequence[int]
) -> Iterator[Mark]:
    """What is remembered of each image in these parts; counts them in `containers`."""
    some = ", ".join(map(str, parts))
    for row in rows.stream(
        f"SELECT key, size_bytes, mtime_ns, status FROM gone WHERE part IN ({some})"
    ):
        mark = Mark(
            normalized(row["key"]), row["size_bytes"], row["mtime_ns"], row["status"] == "failed"
        )
        for container in containers_of(mark.key):
            images, failed = containers.get(container, (0, 0))
            containers[container] = images + 1, failed + mark.failed
        yield mark
