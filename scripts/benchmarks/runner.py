"""Run the benchmarks in this folder: NAME.py has a docstring and `main() -> dict`.

`main` may take `everything`, which --all makes true. Prints the machine, the versions and each
benchmark's figures; --json FILE keeps them, --markdown FILE writes them into the places of a page
that are marked for them (docs/performance.md). Seeds are fixed before each benchmark. Figures of
one run compare with each other, not with other days'. Without names all are run, the most telling
ones first, and those that ten minutes leave no time for are named (--minutes).
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import random
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from inspect import signature
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from scripts.benchmarks.tables import renew

SEED = 20_260
HERE = Path(__file__).resolve().parent
NOT_BENCHMARKS = {"runner", "tables"}
FIRST = ("stages", "loop", "postprocess", "decode", "memory", "help-time", "families", "eval")


def main(arguments: Sequence[str]) -> int:
    names = benchmarks()
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("names", nargs="*", default=["all"], metavar="NAME", help=" ".join(names))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="renew the tables in here")
    parser.add_argument("--minutes", type=float, default=10, help="start no other one after these")
    parser.add_argument("--all", action="store_true", help="every variant, where there is a choice")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - {"all", *names}
    if unknown:
        parser.error(
            f"no benchmark named {', '.join(sorted(unknown))}; there are: all, {', '.join(names)}"
        )
    # As the command line does, before torch is loaded: threads that wait should sleep.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    results = run(names if "all" in options.names else options.names, options)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")
    if options.markdown:
        options.markdown.write_text(renew(options.markdown.read_text(), results))
    return 0


def benchmarks() -> list[str]:
    """The names for the command line, with the hyphens that a module's name cannot have."""
    found = {path.stem for path in HERE.glob("*.py")} - NOT_BENCHMARKS
    return [*FIRST, *sorted({name.replace("_", "-") for name in found} - set(FIRST))]


def run(chosen: Sequence[str], options: argparse.Namespace) -> dict[str, Any]:
    """The figures of each benchmark that there is time for, after the machine's description."""
    results: dict[str, Any] = {"machine": {**machine(), "seed": SEED}}
    show("machine", results["machine"])
    begin, left_out = time.perf_counter(), []
    for name in chosen:
        # A benchmark that was asked for by its name is run.
        if "all" in options.names and time.perf_counter() - begin > options.minutes * 60:
            left_out.append(name)
            continue
        # In a process of its own: what one does to the allocator is no matter of the next.
        with ProcessPoolExecutor(1, get_context("spawn")) as own:
            results[name] = own.submit(measure, name, everything=options.all).result()
        show(name, results[name])
    print(f"\n{(time.perf_counter() - begin) / 60:.1f} minutes")
    if left_out:
        print(f"no time was left for: {', '.join(left_out)} (--minutes {options.minutes:g})")
    return results


def measure(name: str, *, everything: bool) -> dict[str, Any]:
    """The figures of one benchmark and the seconds it took as a whole."""
    import numpy as np
    import torch

    random.seed(SEED)
    np.random.seed(SEED)
    torch.manual_seed(SEED)
    benchmark = importlib.import_module(f"scripts.benchmarks.{name.replace('-', '_')}")
    print(f"\n{name}: {(benchmark.__doc__ or '').strip().partition(chr(10))[0]}", flush=True)
    start = time.perf_counter()
    chosen = {"everything": True} if everything and signature(benchmark.main).parameters else {}
    figures: dict[str, Any] = benchmark.main(**chosen)
    return {**figures, "benchmark_s": round(time.perf_counter() - start, 1)}


def machine() -> dict[str, Any]:
    """What the figures depend on besides the code."""
    import torch
    from PIL import Image, features

    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    libraries = ("torch", "torchvision", "numpy", "pyarrow", "pycocotools", "segcli")
    return {
        "processor": models[0] if models else platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "pillow": f"{Image.__version__}, libjpeg-turbo {features.version('libjpeg_turbo')}",
        **{library: version(library) for library in libraries},
    }


def show(title: str, figures: dict[str, Any]) -> None:
    print(f"[{title}]")
    for name, value in figures.items():
        text = f"{value:.4g}" if isinstance(value, float) else value
        print(f"  {name:<32} {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
