"""Run the benchmarks beside this file: bench_NAME.py has a docstring and `main() -> dict`.

`main` may take `everything`, which --all makes true. Prints the machine, the versions and each
benchmark's figures; --json FILE keeps them. Seeds are fixed before each benchmark. Figures of one
run compare with each other, not with other days'.
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
from importlib.metadata import version
from inspect import signature
from pathlib import Path
from typing import Any

SEED = 20_260
HERE = Path(__file__).resolve().parent


def main(arguments: Sequence[str]) -> int:
    # A module's name cannot hold the hyphen that its command-line name may have.
    names = sorted(path.stem[6:].replace("_", "-") for path in HERE.glob("bench_*.py"))
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("names", nargs="*", default=["all"], metavar="NAME", help=" ".join(names))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    parser.add_argument("--all", action="store_true", help="every variant, where there is a choice")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - {"all", *names}
    if unknown:
        parser.error(
            f"no benchmark named {', '.join(sorted(unknown))}; there are: all, {', '.join(names)}"
        )
    chosen = names if "all" in options.names else options.names
    sys.path.insert(0, str(HERE))
    results: dict[str, Any] = {"machine": machine(), "seed": SEED}
    show("machine", {**results["machine"], "seed": SEED})
    for name in chosen:
        results[name] = measure(name, everything=options.all)
        show(name, results[name])
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


def measure(name: str, *, everything: bool) -> dict[str, Any]:
    """The figures of one benchmark and the seconds it took as a whole."""
    import numpy as np
    import torch

    random.seed(SEED)
    np.random.seed(SEED)
    torch.manual_seed(SEED)
    benchmark = importlib.import_module(f"bench_{name.replace('-', '_')}")
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
