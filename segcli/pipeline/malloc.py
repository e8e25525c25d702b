"""What the C library does with the memory that a network gives back between its layers."""

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
    """Let this process keep freed memory for its next layers; whether that could be arranged.

    The maps of a batch are tens of MB each. glibc gives such pieces back to the system at once, and
    the kernel zeroes each page of the next one again: 4 to 19 % of a run's processor time. Nothing
    happens with another C library, or when the user has chosen in the environment. It lasts as
    long as the process, and is no gain where a GPU computes.
    """
    if any(name in os.environ for name in _USERS_OWN):
        return False
    if "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):  # musl has no mallopt, others other numbers
        return False
    wanted = ((_M_MMAP_THRESHOLD, KEPT_BYTES), (_M_TRIM_THRESHOLD, KEPT_BYTES))
    return all(library.mallopt(name, size) == 1 for name, size in wanted)
