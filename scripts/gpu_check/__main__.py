"""Check segcli on a CUDA device and measure it there.

    python -m scripts.gpu_check --out FOLDER [--budget SECONDS] [--only NAME,...] [--data FOLDER]

It runs from a checkout, installed or not; the packages of pyproject.toml must be there, but not
PyAV, imagecodecs and DuckDB. FOLDER gets results.json and results.md, which are written again after
each figure, so that an interrupted run keeps what it has found. A check that fails or takes too
long is recorded, and the next one begins. --data is a folder with coco80_val (annotations.json and
images), without which `accuracy` and `training` are left out; by default $SEGCLI_DATA.
--device cpu --small tries the checks themselves, in a few minutes and without a GPU.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from scripts.gpu_check.checkout import use_checkout
from scripts.gpu_check.report import Report
from scripts.gpu_check.session import Session

LIMITS_S = {
    "machine": 60,
    "suite": 60,
    "parity": 60,
    "throughput": 110,
    "accuracy": 50,
    "kernels": 40,
    "overlap": 60,
    "postprocess": 30,
    "shapes": 20,
    "out_of_memory": 30,
    "replicas": 50,
    "nvjpeg": 25,
    "training": 90,
}
"""The checks, the most important ones first, and the seconds that each may take."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.gpu_check", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--budget", type=float, default=480, metavar="SECONDS")
    parser.add_argument("--only", default=",".join(LIMITS_S), metavar="NAME,...")
    parser.add_argument("--data", type=Path, default=os.environ.get("SEGCLI_DATA"))
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--small", action="store_true", help="as little work as possible")
    options = parser.parse_args(arguments)
    names = options.only.split(",")
    if unknown := sorted(set(names) - set(LIMITS_S)):
        parser.error(f"no check named {', '.join(unknown)}; there are: {', '.join(LIMITS_S)}")
    options.out.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with tempfile.TemporaryDirectory() as room:
        use_checkout(Path(room))
        return run(names, options, Path(room))


def run(names: list[str], options: argparse.Namespace, room: Path) -> int:
    """Returns how many checks failed or were left out."""
    begun = time.monotonic()
    data = None if options.data is None else options.data.resolve()
    session = Session(options.device, room / "room", data, small=options.small)
    report = Report(options.out)
    try:
        for name in names:
            left = options.budget - (time.monotonic() - begun)
            report.begin(name)
            if left < 5:
                report.end(f"left out: the {options.budget:.0f} s were over")
                continue
            limit = LIMITS_S[name] * (10 if options.small else 1)  # one slow core will do
            report.end(session.run(name, min(limit, left), report.add))
    finally:
        session.close()
    print(
        f"{time.monotonic() - begun:.0f} s, {report.failed} of {len(names)} not passed", flush=True
    )
    return report.failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
