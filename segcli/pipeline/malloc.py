"""Let the C library keep the memory that a network frees between its layers."""

from __future__ import annotations

import ctypes
import os

KEPT_BYTES = 256 << 20
"""Pieces up to this size come from the heap, and so much may lie unused at its end. Twice as much
as the maps of a batch of the shipped models need at most; a larger one gains nothing for them, and
makes the peak of large models higher by a sixth."""

# Names of glibc's malloc.h, and what a user sets the same things with.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_USERS_OWN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")


def keep_memory() -> bool:
    """Let this process keep freed memory for the next layers; returns whether it is supported.

    The maps of a batch are tens of MB each. glibc returns such blocks to the system, and the
    kernel zeroes each page of the next block again, which takes 4 to 19 % of a run's processor
    time. This does nothing with another C library, or if the user has set the environment variables
    of malloc. It lasts until the process ends, and has no benefit on a GPU.
    """
    if any(name in os.environ for name in _USERS_OWN):
        return False
    if "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(
        library, "gnu_get_libc_version"
    ):  # musl has no mallopt; other libraries use other numbers
        return False
    wanted = ((_M_MMAP_THRESHOLD, KEPT_BYTES), (_M_TRIM_THRESHOLD, KEPT_BYTES))
    return all(library.mallopt(name, size) == 1 for name, size in wanted)
