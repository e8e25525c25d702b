"""The tests that are marked `gpu`."""

from __future__ import annotations

import re
import subprocess
import sys

from scripts.gpu_check.checkout import ROOT
from scripts.gpu_check.place import Figures, Place


def check(place: Place) -> Figures:
    files = [p for p in sorted((ROOT / "tests").rglob("test_*.py")) if "mark.gpu" in p.read_text()]
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider"]
    ended = subprocess.run(
        [*command, *map(str, files)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    yield "files", len(files)
    for count, what in re.findall(r"(\d+) (passed|failed|skipped|error)", ended.stdout):
        yield what, int(count)
    if ended.returncode:
        yield "output", ended.stdout[-6000:] + ended.stderr[-2000:]
        raise AssertionError(f"pytest ended with {ended.returncode}")
