"""Readers of annotations on files drawn in the dialects of other tools, for minutes.

Each round draws files of one kind by a seed of its own: COCO JSON, YOLO and LabelMe folders, whose
masks must be those that an independent reader finds, and damaged files, which must be read or
refused in words. tests/annotations has the kinds; a failure shows the smallest file that was found.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "annotations"))

from format_checks import CHECKS, run  # noqa: E402

ROUND = 200  # files


def soak_formats(minutes: float, seed: int) -> int:
    """The exit code: 0 when all files were read as they are meant."""
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "__array__", DeprecationWarning)  # pycocotools
    counts: Counter[str] = Counter()
    end = time.monotonic() + minutes * 60
    for number, name in enumerate(itertools.cycle(CHECKS), seed * 1_000_000):
        if time.monotonic() > end:
            break
        try:
            run(name, examples=ROUND, number=number)
        except Exception as error:
            print(f"BROKEN ({name}, seed {number}): {error!r}", file=sys.stderr)
            print("\n".join(getattr(error, "__notes__", [])), file=sys.stderr)
            return 1
        counts[name] += ROUND
    print("files read as they are meant: " + ", ".join(f"{n} {k}" for k, n in counts.items()))
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--formats", action="store_true", help="read annotations")
    parser.add_argument("--minutes", type=float, default=5.0, help="begin no round after so many")
    parser.add_argument("--seed", type=int, default=0, help="which files")
    options = parser.parse_args()
    return soak_formats(options.minutes, options.seed)


if __name__ == "__main__":
    sys.exit(main())
