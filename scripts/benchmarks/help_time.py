"""Seconds until `segcli --help` and `segcli predict --help` have printed; the target is 0.25 s."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 15


def main() -> dict[str, float]:
    script = str(Path(sys.executable).with_name("segcli"))
    bare = seconds(sys.executable, "-c", "")
    figures = {"python alone, s": bare}
    for command in ("--help", "predict --help", "--version"):
        figures[f"segcli {command}, s"] = seconds(script, *command.split())
    return figures


def seconds(*command: str) -> float:
    """The median of RUNS; the first one, which fills the disk cache, does not count."""
    times = []
    for _ in range(RUNS + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])
