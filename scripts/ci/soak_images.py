"""`segcli predict` on thousands of damaged image files, in rounds of 1,500.

Every file must end as one row, `ok` or `failed` with a reason that is not the death of a worker,
within the time given, and nothing but segcli's own lines may be on stderr.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq

from scripts.data.hostile import sound, write
from scripts.data.hostile_containers import containers

TOY = Path(__file__).resolve().parents[2] / "tests/toy"
ROUND = 1500  # files
SECONDS_PER_FILE = 0.5  # many times what is needed: a hang is found by it


def soak_images(count: int, seed: int) -> int:
    """The exit code: 0 when all rounds kept the promises; else the files stay where they are."""
    home = Path(tempfile.mkdtemp(prefix="segcli-hostile-"))
    kinds: Counter[str] = Counter()
    images = sound()
    originals = containers({name: images[name] for name in ("plain.jpg", "plain.png")})
    began = time.monotonic()
    for number, first in enumerate(range(0, count, ROUND)):
        folder = home / f"{number}"
        files = min(ROUND, count - first)
        write(folder / "files", files - files // 5, seed + number)
        write(folder / "files/containers", files // 5, seed + number, originals)
        broken = _round(folder, kinds)
        if broken:
            print(f"BROKEN (seed {seed + number}, {folder}): {broken}", file=sys.stderr)
            return 1
        shutil.rmtree(folder)
    home.rmdir()
    print(f"{count} damaged files in {time.monotonic() - began:.0f} s, each with its row:")
    for kind, times in kinds.most_common(12):
        print(f"{times:>7}  {kind}")
    return 0


def _round(folder: Path, kinds: Counter[str]) -> str | None:
    """What went wrong; None when nothing did."""
    home = folder / "files"
    files = {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()}
    out = folder / "m.parquet"
    words = ["predict", folder / "files", "--out", out, "--model", "toy", "--device", "cpu"]
    command = [sys.executable, "-m", "segcli", *map(str, words), "--max-pixels", "1000000", "-q"]
    environment = {**os.environ, "PYTHONPATH": str(TOY)}
    limit = 60 + SECONDS_PER_FILE * len(files)
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=limit
        )
    except subprocess.TimeoutExpired:
        return f"not done after {limit:.0f} s"
    expected = re.compile(r"\d+ of \d+ images failed|failed: |all failed images, ")
    lines = [line for line in done.stderr.splitlines() if not expected.match(line)]
    if done.returncode not in (0, 1) or lines or done.stdout:
        return f"exit code {done.returncode}; {done.stdout}{done.stderr}"
    rows = {row["key"]: row for row in pq.read_table(out).to_pylist()}
    # Images in archives and frames of videos are rows of these.
    if missing := files - {_file(key, files) for key in rows}:
        return f"{len(missing)} files without a row, such as {min(missing)}"
    for key, row in rows.items():
        if row["status"] == "failed" and (not row["error"] or "worker" in row["error"]):
            return f"{key}: {row['error']}"
        kinds[_kind(row)] += 1
    return None


def _file(key: str, files: set[str]) -> str:
    """The file that a key is of."""
    parts = key.partition("#frame=")[0].split("/")
    names = ("/".join(parts[:depth]) for depth in range(1, len(parts) + 1))
    return next((name for name in names if name in files), key)


def _kind(row: dict[str, str]) -> str:
    if row["status"] == "ok":
        return "ok" if row["warning"] is None else f"ok, {row['warning'].partition(':')[0]}"
    return row["error"].partition(":")[0][:60]
