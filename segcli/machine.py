"""The resources of the machine that this process may use."""

from __future__ import annotations

import os
from pathlib import Path


def cores() -> tuple[int, ...]:
    """The cores that this process may use (taskset and some containers limit them), in order."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))  # macOS reports only the cores of the machine


def resident_bytes() -> int:
    """The resident memory of this process; 0 if the system does not report it."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
