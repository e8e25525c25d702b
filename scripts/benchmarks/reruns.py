"""What a run costs over an archive of which all but ten images are done, and how its start grows.

Processor seconds of all processes of one `segcli predict` with the shipped model, and of opening
outputs of 1,000 keys and more, in parts of 100 images, as hourly runs leave them, and of 10,000, as
`segcli compact` does. Each image has 8 masks. To each output of the latter, 24 hourly runs add a
part of 10 images; then it is opened again, compacted, and opened again. --all adds the largest
sizes.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from segcli.sources import open_source
from segcli.store import Settings, compact, open_output, schema, table
from segcli.store.directory import staging_path
from segcli.store.footer import Footer
from segcli.store.part_file import open_part, write_part
from segcli.store.part_writer import part_name
from segcli.store.place import Disk
from segcli.store.pruned import Pruning, record
from segcli.types import Record, Sample, Segment

MASKS = 8  # in an image
SMALL, LARGE = 100, 10_000  # images in a part
NEW = 10
HOURS = 24
CATEGORIES = (("person", "car"), (1, 3))
MTIME_NS = 1_700_000_000 * 10**9
SIZES = (1_000, 10_000, 100_000, 1_000_000)


def main(*, everything: bool = False) -> dict[str, float]:
    """The figures."""
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        for done in (100_000, 1_000_000) if everything else (100_000,):
            figures |= rerun(Path(name) / f"{done}", done)
    for keys in (*SIZES, 10_000_000) if everything else SIZES[:-1]:
        for images in (SMALL, LARGE):
            # More small parts would take hours to write; one large part may be a smaller one.
            if keys <= 10_000 * images and (images == LARGE or images <= keys):
                with tempfile.TemporaryDirectory() as name:
                    figures |= opening(Path(name) / "m.parquet", keys, images)
        with tempfile.TemporaryDirectory() as name:
            figures[f"open, s, {keys:,} pruned keys"] = opening_pruned(Path(name), keys)
    return figures


def rerun(home: Path, done: int) -> dict[str, float]:
    """Seconds of a whole `segcli predict`: of processor, and by the clock."""
    folder, out = archive_with_rows(home, done)
    command = [sys.executable, "-m", "segcli", "predict", str(folder), "--out", str(out)]
    begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    by_clock = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert f"{done} images done before" in ended.stdout, ended.stdout
    source = open_source(str(folder))
    listed = time.process_time()
    assert sum(1 for _ in source) == done + NEW
    label = f"{done:,} images done, {NEW} new"
    return {
        f"rerun, processor s, {label}": after.ru_utime
        + after.ru_stime
        - before.ru_utime
        - before.ru_stime,
        f"rerun, s by the clock, {label}": by_clock,
        f"list, processor s, {done:,} files": time.process_time() - listed,
    }


def archive_with_rows(home: Path, done: int) -> tuple[Path, Path]:
    """A folder of `done` images, and NEW more in a last folder, and an output of the shipped model
    that has rows for the first."""
    folder, out = home / "images", home / "m.parquet"
    new = folder / "new"
    new.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(NEW):
        pixels = rng.integers(0, 255, (480, 640, 3), np.uint8)
        Image.fromarray(pixels).save(new / f"{number}.jpg")
    command = [sys.executable, "-m", "segcli", "predict", str(folder), "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True)  # which makes the settings
    (part,) = out.iterdir()
    with open_part(part) as (file, footer):
        columns = file.schema_arrow.remove_metadata()
    part.unlink()
    keys = key_names(done)
    for key in keys:
        path = folder / key
        if not path.parent.exists():
            path.parent.mkdir(parents=True)
        path.touch()
        os.utime(path, ns=(MTIME_NS, MTIME_NS))
    fill(out, keys, LARGE, columns, footer)
    return folder, out


def key_names(count: int) -> list[str]:
    """In 100 folders, in the order in which a folder is listed."""
    return [f"cam{n * 100 // count:02d}/2026-11-21/{n:08d}.jpg" for n in range(count)]


def opening(out: Path, keys: int, images: int) -> dict[str, float]:
    """Processor seconds to open an output of parts of so many images, and of a `day` after it."""
    settings = Settings({"source_root": "/archive"}, {})
    columns = schema({})
    fill(out, key_names(keys), images, columns, Footer(settings, *CATEGORIES, 3))
    label = f"{keys:,} keys in parts of {images:,}"
    figures = {f"open, s, {label}": _open(out, settings)}
    return figures | (day(out, settings, keys) if images == LARGE else {})


def day(out: Path, settings: Settings, keys: int) -> dict[str, float]:
    """Processor seconds of the bookkeeping of HOURS runs of NEW images, and by the clock of a
    commit, which waits for the disk."""
    given: dict[str, Any] = {"carried": {}, "categories": CATEGORIES}
    segments = [Segment(0, 0.9, (1.0, 2.0, 3.0, 4.0), 16, b"0`0")] * MASKS
    with open_output(out, settings, **given) as output:
        processor, clock = time.process_time(), time.perf_counter()
        for hour in range(HOURS):
            names = [f"cam00/2026-11-22/{hour:02d}{n:06d}.jpg" for n in range(NEW)]
            samples = [Sample(name, name, size_bytes=0, mtime_ns=MTIME_NS) for name in names]
            output.commit([Record(sample, 4, 4, segments) for sample in samples])
        processor, clock = time.process_time() - processor, time.perf_counter() - clock
    label = f"{keys:,} keys"
    figures = {
        f"commit, processor s, {label}": processor / HOURS,
        f"commit, s by the clock, {label}": clock / HOURS,
        f"open after a day, s, {label}": _open(out, settings),
    }
    began = time.process_time()
    compact(out, images=LARGE)
    figures[f"compact, s, {label}"] = time.process_time() - began
    return figures | {f"open after compact, s, {label}": _open(out, settings)}


def opening_pruned(home: Path, keys: int) -> float:
    """The same of an output of one image, from which so many have been pruned."""
    out, settings = home / "m.parquet", Settings({"source_root": "/archive"}, {})
    fill(out, ["a.jpg"], 1, schema({}), Footer(settings, *CATEGORIES, 3))
    packed = np.random.default_rng(0).integers(0, 1 << 64, (2, keys), np.uint64)  # as hashes are
    record(Disk(out, staging_path(out)), Pruning(packed, (), (), {}, 0, 0, ""), None)
    return _open(out, settings)


def _open(out: Path, settings: Settings) -> float:
    began = time.process_time()
    with open_output(out, settings, carried={}, categories=CATEGORIES):
        return time.process_time() - began


def fill(out: Path, keys: Sequence[str], images: int, columns: pa.Schema, footer: Footer) -> None:
    """Write parts of `images` images; they differ in their keys only."""
    out.mkdir(parents=True, exist_ok=True)
    segment = Segment(0, 0.9, (1.0, 2.0, 3.0, 4.0), 16, b"0`0")
    for start in range(0, len(keys), images):
        some = keys[start : start + images]
        if start == 0 or len(some) < images:
            rows = table([_record(key, segment) for key in some], columns, CATEGORIES)
        at = rows.column_names.index("key")
        own = pa.array(np.repeat(np.array(some, dtype=object), MASKS), pa.string())
        part = rows.set_column(at, rows.schema.field(at), own)
        write_part(out / part_name(some), part, replace(footer, begun=None, ended=None))


def _record(key: str, segment: Segment) -> Record:
    sample = Sample(key, key, size_bytes=0, mtime_ns=MTIME_NS)
    return Record(sample, 4, 4, [segment] * MASKS)
