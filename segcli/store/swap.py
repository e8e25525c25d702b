"""Exchange the names of two directories atomically, if the system supports it."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from pathlib import Path

from segcli.errors import UsageError

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_RENAME_SWAP = 2  # macOS
_UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


def exchange(one: Path, other: Path) -> None:
    """Exchange two directories; no process ever sees one of them missing.

    Raises UsageError if the system or the file system cannot do it (NFS), OSError otherwise.
    """
    library = ctypes.CDLL(None, use_errno=True)
    first, second = os.fsencode(one), os.fsencode(other)
    try:
        if sys.platform == "darwin":
            failed = library.renamex_np(first, second, _RENAME_SWAP)
        else:
            failed = library.renameat2(_AT_FDCWD, first, _AT_FDCWD, second, _RENAME_EXCHANGE)
    except AttributeError:
        failed, number = -1, errno.ENOSYS
    else:
        number = ctypes.get_errno()
    if failed and number in _UNSUPPORTED:
        raise UsageError(
            f"the file system of {other} cannot exchange two folders in one step (NFS cannot): "
            f"copy the output to a local disk, compact it there, and copy it back under a new name"
        )
    if failed:
        raise OSError(number, os.strerror(number), str(other))
