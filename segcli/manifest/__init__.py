"""Write a Parquet manifest of an archive, in parallel; an interrupted run can be resumed.

`predict` can read it. A split by content hash keeps identical images together and stays the same as
the archive grows.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from segcli.errors import UsageError
from segcli.files import replacing, reporting
from segcli.keys import split_frame
from segcli.machine import cores
from segcli.manifest.rows import Row, described, path_of
from segcli.sources import Source
from segcli.sources.several import open_sources
from segcli.store.directory import lock_path, resolve
from segcli.store.key_index import KeyIndex, Mark
from segcli.store.lock import acquire
from segcli.types import Sample
from segcli.video.every import parse_every

COLUMNS = pa.schema(
    [
        ("path", pa.string()),
        ("size_bytes", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("format", pa.string()),
        ("sha256", pa.string()),
        ("taken", pa.string()),
        ("camera", pa.string()),
        ("error", pa.string()),
        ("warning", pa.string()),
        ("frame", pa.int64()),
        ("time_s", pa.float64()),
    ]
)
"""`height`, `width` in px after EXIF rotation; `taken` as in EXIF, `camera` its make and model;
`error` why an image cannot be used, `warning` why it may be wrong or incomplete. `frame` and
`time_s` are those of a frame of a video, whose `taken` is when the video began."""

SPLITS = {2: ("train", "val"), 3: ("train", "val", "test")}
_NEWER = ("warning", "frame", "time_s")
_DECODED = b"segcli.decoded"  # in a file's metadata: whether images were decoded
_CHUNK = 1000


@dataclass(slots=True)
class ManifestSummary:
    """`repeated` images were listed more than once, by several sources or in a list."""

    images: int = 0
    repeated: int = 0
    broken: int = 0
    warned: int = 0
    known: int = 0  # from an earlier run
    splits: dict[str, int] = field(default_factory=dict)


def make_manifest(
    source: str | Sequence[str],
    out: Path,
    *,
    every: str = "1s",
    split: Sequence[float] = (),
    workers: int | None = None,
    header_only: bool = False,
    wait: bool = False,
) -> ManifestSummary:
    """Write `out`, a Parquet file, atomically; after a kill, the next run continues.

    `source` is a path or NAME=PATH, or several; `every` chooses frames of videos ("1s", "5f").
    Images with the same size and time as in an earlier manifest at `out` are not read again.
    `header_only` does not decode the images: faster, but truncated files are not detected. Raises
    UsageError, OutputError, and Locked while another run writes the manifest, unless `wait`.
    """
    check_split(split)
    if workers is not None and workers < 1:
        raise UsageError(f"--workers {workers}: expected a whole number of at least 1")
    sources = (source,) if isinstance(source, str) else tuple(source)
    archive = open_sources(sources, every=parse_every(every))
    real = resolve(out)
    with reporting(out):
        real.parent.mkdir(parents=True, exist_ok=True)
        with closing(acquire(lock_path(real), output=out, wait=wait)):
            return _make(archive, real, split, workers=workers, header_only=header_only)


def _make(
    archive: Source,
    out: Path,
    split: Sequence[float],
    *,
    workers: int | None,
    header_only: bool,
) -> ManifestSummary:
    """As `make_manifest`, with the lock held. Raises OSError."""
    parts = out.with_name(f".{out.name}.parts")
    unfinished = out.with_name(f".{out.name}.part")
    own = COLUMNS.with_metadata({_DECODED: b"0" if header_only else b"1"})
    columns = own.append(pa.field("split", pa.string())) if split else own
    summary = ManifestSummary()
    known = _known([out, *sorted(parts.glob("*.parquet"))], header_only)
    parts.mkdir(exist_ok=True)
    with (
        ThreadPoolExecutor(workers or len(cores())) as pool,
        pq.ParquetWriter(unfinished, columns, compression="zstd") as writer,
    ):
        samples = _once(archive, out.parent, summary)
        while chunk := list(islice(samples, _CHUNK)):
            rows = described(chunk, known, pool, out.parent, header_only)
            fresh = [row for row in rows if row.pop("fresh")]
            if fresh:
                _keep(parts, pa.Table.from_pylist(fresh, schema=own))
            _count(summary, rows, fresh=len(fresh), split=split)
            writer.write_table(pa.Table.from_pylist(rows, schema=columns))
    with open(unfinished, "rb") as file:
        os.fsync(file.fileno())  # after a power failure, the name must not exist without its bytes
    os.replace(unfinished, out)
    shutil.rmtree(parts)
    return summary


def _once(source: Source, folder: Path, summary: ManifestSummary) -> Iterator[Sample]:
    """Each image of the source once; the others are counted. Memory: 16 bytes per image."""
    seen, recent = KeyIndex(), dict[str, Mark]()
    for sample in source:
        is_file = sample.path and sample.data is None
        path = path_of(sample, folder) if is_file else sample.key
        if path in recent or path in seen:
            summary.repeated += 1
            continue
        recent[path] = Mark(path, None, None, False)
        if len(recent) >= _CHUNK:
            seen.add(recent.values(), 0, fresh=True)
            recent.clear()
        yield sample


def check_split(split: Sequence[float]) -> None:
    """Raises UsageError unless there are two or three shares that sum to 1."""
    if not split:
        return
    if len(split) not in SPLITS or min(split) < 0 or not abs(sum(split) - 1) < 1e-9:
        raise UsageError(
            f"--split {','.join(map(str, split))}: expected 2 or 3 shares that sum to 1, such as "
            "0.8,0.1,0.1"
        )


def split_of(sha256: str, split: Sequence[float]) -> str:
    """The split of an image; depends only on its content."""
    place = int(sha256[:16], 16) / 2**64
    names = SPLITS[len(split)]
    reached = 0.0
    for name, share in zip(names, split, strict=True):
        reached += share
        if place < reached:
            return name
    return names[-1]


def _known(files: Sequence[Path], header_only: bool) -> dict[str, Row]:
    """The rows of earlier runs, by path; images of an unreadable part are processed again.

    So are images that could not be read, and those that were not decoded yet.
    """
    rows: dict[str, Row] = {}
    for file in files:
        if not file.is_file():
            continue
        try:
            there = pq.read_schema(file).names
            # Older manifests have fewer columns.
            wanted = [name for name in COLUMNS.names if name in there or name not in _NEWER]
            table = pq.read_table(file, columns=wanted)
        except (pa.ArrowException, OSError) as error:
            if not file.name.startswith("chunk-"):
                reason = str(error).splitlines()[0]
                raise UsageError(f"{file} exists and is not a manifest: {reason}") from None
            continue
        if header_only or (table.schema.metadata or {}).get(_DECODED) == b"1":
            rows |= {row["path"]: row for row in table.to_pylist() if row["sha256"] is not None}
    return rows


def _keep(parts: Path, rows: pa.Table) -> None:
    name = hashlib.sha256("\0".join(rows["path"].to_pylist()).encode()).hexdigest()[:16]
    with replacing(parts / f"chunk-{name}.parquet") as unfinished:
        pq.write_table(rows, unfinished)


def _count(
    summary: ManifestSummary, rows: list[Row], *, fresh: int, split: Sequence[float]
) -> None:
    """Count the images, and assign every usable one to its split."""
    summary.images += len(rows)
    summary.known += len(rows) - fresh
    summary.broken += sum(row["error"] is not None for row in rows)
    summary.warned += sum(row.get("warning") is not None for row in rows)
    if not split:
        return
    for row in rows:
        usable = row["error"] is None
        row["split"] = split_of(_same_split(row), split) if usable else None
        if usable:
            summary.splits[row["split"]] = summary.splits.get(row["split"], 0) + 1


def _same_split(row: Row) -> str:
    """A hash that is the same for images of the same split: of the content, or, so that the frames
    of a video stay together, of the video's path."""
    clip, frame = split_frame(row["path"])
    return row["sha256"] if frame is None else hashlib.sha256(clip.encode()).hexdigest()
