"""`segcli stats` over ten million mask rows on two threads; the targets are 10 s and 1 GB.

The rows are made here: a million images of six classes with lognormal areas, in forty parts that
differ in their keys and times only. SEGCLI_BENCH_ROWS sets another number of rows. CPU seconds over
two threads are what the clock would show on an idle machine, at best.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

ROWS = int(os.environ.get("SEGCLI_BENCH_ROWS", "10_000_000"))
PARTS = 40
NAMES = np.array(["person", "bicycle", "car", "motorcycle", "bus", "truck"])
IDS = np.array([1, 2, 3, 4, 6, 8])
CHILD = """
import json, resource, sys, time
from pathlib import Path
start = time.perf_counter()
from segcli.stats import StatsOptions, statistics
found = statistics(StatsOptions(masks=Path(sys.argv[1]), threads=2))
used = resource.getrusage(resource.RUSAGE_SELF)
# Not ru_maxrss: that begins with the size of the process that started this one.
status = Path("/proc/self/status").read_text()
print(json.dumps({
    "seconds": time.perf_counter() - start,
    "cpu": used.ru_utime + used.ru_stime,
    "peak_MB": int(status.split("VmHWM:")[1].split()[0]) / 1024,
    "masks": sum(row["masks"] for row in found.classes),
}))
"""


def main() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "masks.parquet"
        path.mkdir()
        start = time.perf_counter()
        rows = part(ROWS // PARTS)
        for number in range(PARTS):
            pq.write_table(moved(rows, number), path / f"part-{number:032x}.parquet")
        figures = {"rows": float(ROWS), "making the rows, s": time.perf_counter() - start}
        command = [sys.executable, "-c", CHILD, str(path)]
        found = json.loads(subprocess.check_output(command, text=True))
    assert found["masks"] > 0.5 * ROWS, "most rows reach the score"
    return {
        **figures,
        "seconds": found["seconds"],
        "seconds, of the target of 10": found["seconds"] / 10,
        "CPU seconds": found["cpu"],
        "CPU seconds / 2 threads": found["cpu"] / 2,
        "peak, MB": found["peak_MB"],
        "peak, of the target of 1 GB": found["peak_MB"] / 1000,
    }


def moved(rows: pa.Table, number: int) -> pa.Table:
    """The same rows of another camera and day."""
    key = pc.binary_join_element_wise(
        f"cam{number % 8}/2026-11-{number % 28 + 1:02d}", rows["key"], "/"
    )
    time = pc.add(rows["mtime_ns"], number * 86_400 * 10**9)
    for name, column in (("key", key), ("mtime_ns", time)):
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(
            place, rows.schema.field(name), column.cast(rows.schema.field(name).type)
        )
    return rows


def part(rows: int) -> pa.Table:
    """Rows of images of 1080 x 1920 px with one to nineteen masks each."""
    from segcli.store import schema

    rng = np.random.default_rng(0)
    counts = rng.integers(1, 20, size=rows // 5)
    counts = counts[: np.searchsorted(np.cumsum(counts), rows) + 1]
    counts[-1] -= counts.sum() - rows
    image = np.repeat(np.arange(len(counts)), counts)
    label = rng.choice(6, size=rows, p=[0.5, 0.05, 0.3, 0.05, 0.05, 0.05])
    wide, tall = (rng.lognormal(4, 0.8, rows).clip(2, limit) for limit in (1900, 1000))
    left, top = rng.uniform(0, 1920 - wide), rng.uniform(0, 1080 - tall)
    keys = np.array([f"{i:07d}.jpg" for i in range(len(counts))])
    box = pa.StructArray.from_arrays(
        [pa.array(side) for side in (left, top, wide, tall)], names=["x", "y", "w", "h"]
    )
    made = {
        "key": pa.array(keys).take(pa.array(image)),
        "status": pa.repeat("ok", rows),
        "height": pa.repeat(1080, rows),
        "width": pa.repeat(1920, rows),
        "masks": np.repeat(counts, counts),
        "size_bytes": pa.repeat(300_000, rows),
        "mtime_ns": (1_795_000_000 + image * 60) * 10**9,
        "mask": np.arange(rows) - np.repeat(np.cumsum(counts) - counts, counts),
        "category_id": IDS[label],
        "category": NAMES[label],
        "score": rng.beta(3, 2, rows),
        "bbox": box,
        "area": (wide * tall * rng.uniform(0.4, 0.9, rows)).astype(np.int64) + 1,
        "rle": pa.repeat(b"b" * 60, rows),
    }
    columns = schema({})
    filled = [
        pa.array(made[f.name], f.type)
        if not isinstance(made.get(f.name), pa.Array) and f.name in made
        else made.get(f.name, pa.nulls(rows, f.type))
        for f in columns
    ]
    arrays = [array.cast(f.type) for array, f in zip(filled, columns, strict=True)]
    return pa.table(arrays, schema=columns).replace_schema_metadata({b"segcli": footer(rows)})


def footer(masks: int) -> bytes:
    return json.dumps(
        {
            "compared": {"source_root": "/archive"},
            "recorded": {"default_score": 0.5},
            "key_prefix": "",
            "category_names": NAMES.tolist(),
            "category_ids": IDS.tolist(),
            "schema_version": 1,
            "images": masks // 10,
            "failed": 0,
            "masks": masks,
            "redone": {},
        }
    ).encode()


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
