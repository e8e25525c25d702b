"""Peak memory of a run over 2,000 and over 20,000 small images with the toy model.

Each run is a process of its own, `segcli predict` as a user starts it; the images are one small
PNG under many names. The target is a ratio of at most 1.1. Beside them the default model over
photographs of 1920 x 1080 px, in batches of four.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from scripts.data.photographs import photographs

TOY = Path(__file__).resolve().parents[2] / "tests" / "toy"
COUNTS = (2_000, 20_000)
# The kernel counts a child's peak from its parent's on, so a small process is the parent.
LAUNCHER = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:])
_, status, usage = os.wait4(process.pid, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def main() -> dict[str, float]:
    """Peak resident memory (MB) and seconds of each run, and the ratio of the peaks."""
    figures: dict[str, float] = {}
    peaks = []
    with tempfile.TemporaryDirectory() as name:
        for count in COUNTS:
            result = measure(Path(name), count)
            peaks.append(result["peak_mb"])
            figures[f"{count} images, peak MB"] = result["peak_mb"]
            figures[f"{count} images, s"] = result["seconds"]
        figures["ratio"] = peaks[-1] / peaks[0]
        photographs(Path(name, "1080p"), (1920, 1080), 8)
        result = peak(Path(name, "1080p"), Path(name, "1080p.parquet"), [])
        figures["default model, 1080p, peak MB"] = result["peak_mb"]
    return figures


def measure(room: Path, count: int) -> dict[str, float]:
    """`peak_mb` and `seconds` of one run over `count` images."""
    images = room / f"images{count}"
    images.mkdir()
    pixels = np.full((48, 64, 3), 90, np.uint8)
    pixels[5:20, 5:30] = (200, 30, 30)
    pixels[20:40, 30:60] = (30, 30, 200)
    first = images / "000000.png"
    Image.fromarray(pixels).save(first)
    for number in range(1, count):
        os.link(first, images / f"{number:06}.png")
    toy = ["--model", "toy", "--precision", "float32"]
    return peak(images, room / f"{count}.parquet", toy)


def peak(images: Path, out: Path, options: list[str]) -> dict[str, float]:
    """`peak_mb` and `seconds` of `segcli predict` in a process of its own."""
    command = [sys.executable, "-m", "segcli", "predict", str(images), "--quiet", "--out", str(out)]
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", LAUNCHER, *command, *options],
        env={**os.environ, "PYTHONPATH": str(TOY)},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    kib = int(done.stdout.split()[-1])
    return {"peak_mb": kib / 1024, "seconds": time.perf_counter() - begin}


if __name__ == "__main__":
    for key, value in main().items():
        print(f"{key:<32} {value:.4g}")
