"""Each worker's share of the machine's cores and memory."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from dataclasses import dataclass

from segcli.errors import UsageError
from segcli.machine import cores, resident_bytes

MOST_THREADS = 16  # more decode threads would only wait for each other
QUEUE_BYTES = 768 << 20
LEAST_QUEUE_BYTES = 64 << 20
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


@dataclass(frozen=True, slots=True)
class Resources:
    """`decode_threads`, and bytes of images that may be in decoding or wait for the model."""

    decode_threads: int
    queue_bytes: int = QUEUE_BYTES

    @property
    def prefetch_bytes(self) -> int:
        """For those that are read and decoded ahead; the rest is for those in half-full batches."""
        return self.queue_bytes * 2 // 3


@dataclass(frozen=True, slots=True)
class CpuShare:
    """Of the machine, for one of several workers: threads that decode, threads that compute (None:
    as many as torch likes), and the cores that it stays on (None: all)."""

    decode_threads: int
    compute_threads: int | None = None
    cores: tuple[int, ...] | None = None

    def resources(self, queue_bytes: int) -> Resources:
        return Resources(self.decode_threads, queue_bytes)


def pin(share: CpuShare) -> None:
    """Limit this process to its share, as far as its libraries are already loaded."""
    if share.cores is not None and hasattr(os, "sched_setaffinity"):
        for thread in os.listdir("/proc/self/task"):
            with contextlib.suppress(OSError):  # it has just ended
                os.sched_setaffinity(int(thread), share.cores)
    if share.compute_threads is not None and "torch" in sys.modules:
        import torch

        # A user's OMP_NUM_THREADS is an upper bound.
        torch.set_num_threads(min(share.compute_threads, torch.get_num_threads()))


def default_threads(workers: int = 1) -> int:
    """Decode threads of each of `workers`: the cores divided among them, 16 at most."""
    return max(1, min(MOST_THREADS, len(cores()) // workers))


def queue_bytes(max_memory: int | None, *, workers: int) -> int:
    """How many bytes of images may wait in this process, one of `workers` that share `max_memory`.

    This is half of the share that the loaded model leaves; the other half is for the current batch
    and its masks. Called after the model is loaded. Raises UsageError if almost nothing is left.
    """
    if max_memory is None:
        return QUEUE_BYTES
    share, used = max_memory // workers, resident_bytes()
    room = (share - used) // 2
    if room < LEAST_QUEUE_BYTES:
        least = workers * (used + 2 * LEAST_QUEUE_BYTES)
        raise UsageError(
            f"`max_memory` {size_text(max_memory)} is too little for {workers} worker(s): with the "
            f"model loaded each has {size_text(used)}; give {size_text(least)} or fewer `replicas`"
        )
    return min(QUEUE_BYTES, room)


def parse_size(text: str) -> int:
    """Bytes of "4GB", "512M", "1.5 GiB" (all of them powers of 1024). Raises UsageError."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"`max_memory` {text}: expected a size such as 4GB or 800MB")
    return int(float(found[1]) * _UNITS[found[2].lower()])


def size_text(size: int) -> str:
    return f"{size / (1 << 30):.1f}GB" if size >= 1 << 30 else f"{-(-size // (1 << 20))}MB"
