"""What grows with an archive: listing, splitting into shards, parts, resuming, committing.

Processor seconds of one core, for docs/scale.md. The parts hold 1,024 images of 8 masks with run
lengths of 180 bytes (random ones, which do not compress), as the shipped model finds them.
"""

from __future__ import annotations

import pickle
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from segcli.sources import open_source
from segcli.store import Settings, ShardSpec, open_output, read_settings
from segcli.store.part_file import read_footer
from segcli.types import Record, Sample, Segment

FILES = 100_000
PARTS = 40
IMAGES = 1024  # in a part
MASKS = 8  # in an image
RLE_BYTES = 180
CATEGORIES = (("person", "car"), (1, 3))


def main() -> dict[str, float]:
    """The figures."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        return {**listing(home / "images"), **parts(home / "m.parquet")}


def cpu_s(work: Callable[[], Any]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def listing(folder: Path) -> dict[str, float]:
    """Of 100 folders of empty files; names and sizes are cached, as of a disk that is near."""
    for number in range(100):
        (folder / f"{number:02d}").mkdir(parents=True)
    for number in range(FILES):
        (folder / f"{number % 100:02d}" / f"{number:06d}.jpg").touch()
    source = open_source(str(folder))
    split = ShardSpec(3, 64)
    own = source.only(split.__contains__)
    keys = [sample.key for sample in source]
    return {
        "list, s per 100,000 files": cpu_s(lambda: sum(1 for _ in source)),
        "list as a shard of 64, s per 100,000 files": cpu_s(lambda: sum(1 for _ in own)),
        "split, us per key": cpu_s(lambda: sum(key in split for key in keys)) / FILES * 1e6,
    }


def parts(out: Path) -> dict[str, float]:
    rng = np.random.default_rng(0)
    settings = Settings({"source_root": "/archive"}, {}, shard="0/2")
    given: dict[str, Any] = {"carried": {}, "categories": CATEGORIES}
    chunks = [chunk(rng, number) for number in range(PARTS)]
    with open_output(out, settings, **given) as output:
        commit_s = sum(cpu_s(lambda c=c: output.commit(c)) for c in chunks)  # type: ignore[misc]
    paths = sorted(out.iterdir())
    sent = pickle.dumps(chunks[0])
    figures = {
        "part, bytes per image": sum(p.stat().st_size for p in paths) / (PARTS * IMAGES),
        "commit, ms per 1,024 images": commit_s / PARTS * 1e3,
        "ray, MB of records per 1,024 images": len(sent) / 1e6,
        "ray, ms to unpack 1,024 images": cpu_s(lambda: pickle.loads(sent)) * 1e3,
        "footer, ms per part": cpu_s(lambda: [read_footer(p) for p in paths]) / PARTS * 1e3,
        "settings of an output, ms": cpu_s(lambda: read_settings(out)) * 1e3,
    }
    for label, shard in (("undivided run", None), ("its own shard", "0/2"), ("another", "1/2")):
        opened: list[Any] = []
        own = replace(settings, shard=shard)
        seconds = cpu_s(lambda own=own, to=opened: to.append(open_output(out, own, **given)))  # type: ignore[misc]
        figures[f"resume, {label}, s per million images"] = seconds / (PARTS * IMAGES) * 1e6
        if len(opened[0].done):
            figures["resume, bytes per key"] = opened[0].done.nbytes / len(opened[0].done)
        opened[0].close()
    return figures


def chunk(rng: np.random.Generator, number: int) -> list[Record]:
    """Keys that are all shard 0's of 2, as if that had been the run's."""
    split = ShardSpec(0, 2)
    names = (f"cam{number:03d}/2026-11-21/{i:07d}.jpg" for i in range(4 * IMAGES))
    keys = [key for key in names if key in split][:IMAGES]
    return [
        Record(
            Sample(key, f"/archive/{key}", size_bytes=int(rng.integers(1 << 20)), mtime_ns=i),
            1080,
            1920,
            segments=tuple(
                Segment(0, float(s), (s, s, 2 * s, s), 900, rng.bytes(RLE_BYTES))
                for s in rng.random(MASKS)
            ),
        )
        for i, key in enumerate(keys)
    ]
