"""File locks with flock, which end with the processes that hold them."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from segcli.errors import Locked, OutputError, UsageError
from segcli.files import reporting

_UNSUPPORTED = (errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
_POLL_S = 0.1
_DYING_S = 10.0
_ADVICE = "`out` needs a folder that can be written"
_GLANCE_S = 0.02  # `holder` has a lock for much less than this


class Lock:
    """Held until every process that has the descriptor has closed it or died.

    `fd` is not inherited by default. A worker that commits gets it (`pass_fds=[lock.fd]`), so that
    the next run cannot start while a worker lives on whose coordinator was killed. On NFS the
    kernel makes it a lock of the coordinator alone.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def close(self) -> None:
        """Release the lock; without LOCK_UN, which would also take it from a living worker."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def acquire(
    path: Path,
    *,
    output: Path | str,
    wait: bool,
    shared: bool = False,
    waiting: Callable[[str], None] | None = None,
) -> Lock:
    """Take the lock file `path` of `output`, alone; raises Locked at once unless `wait`.

    (Not quite at once when its holder is dead: its workers get some seconds to die too.)

    `shared`: together with others who share it, as the shards of one run do.

    Waiting ends by KeyboardInterrupt, so install other signal handlers afterwards. Raises
    UsageError if the file system has no locks, because two runs could then write at the same time.
    """
    while True:
        with reporting(f"the lock {path}", "create", advice=_ADVICE):
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
            _flock(fd, kind, output=output, wait=wait, waiting=waiting)
            if _is_at(path, fd):
                _sign(fd, shared=shared)
                return Lock(fd)
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _is_at(path: Path, fd: int) -> bool:
    """False if the lock file has been deleted: then the lock protects nothing."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def _flock(
    fd: int,
    kind: int,
    *,
    output: Path | str,
    wait: bool,
    waiting: Callable[[str], None] | None,
) -> None:
    begun = time.monotonic()
    while True:
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            # The workers of a killed coordinator die with it, but slightly later.
            is_dying = _is_holder_dead(fd) and time.monotonic() - begun < _DYING_S
            is_glance = time.monotonic() - begun < _GLANCE_S
            if not (wait or is_dying or is_glance):
                raise Locked(
                    f"another process is using {output}{_holder(fd)}; wait for it with "
                    f"`wait=True`, or choose another `out`"
                ) from None
            if wait and waiting is not None and not is_glance:
                waiting(f"waiting: another process is using {output}{_holder(fd)}")
                waiting = None
            time.sleep(_GLANCE_S if is_glance else _POLL_S)
        except OSError as e:
            if e.errno in _UNSUPPORTED:
                raise UsageError(
                    f"the file system of {output} has no file locks (flock: {e.strerror}), without "
                    f"which two runs could corrupt the output; choose an `out` on another one"
                ) from e
            raise OutputError(f"cannot lock {output}: {e.strerror}") from e


def _sign(fd: int, *, shared: bool) -> None:
    """Write the holder into the file, for the messages of others; ignore a full disk."""
    # All who share it write the same, whoever comes first or leaves last.
    who = {"shards": True} if shared else {"pid": os.getpid(), "host": socket.gethostname()}
    text = json.dumps(who).encode()
    with contextlib.suppress(OSError):
        os.pwrite(fd, text, 0)
        os.ftruncate(fd, len(text))


def _is_holder_dead(fd: int) -> bool:
    """Whether the process that signed was killed here, so that only its workers hold the lock."""
    try:
        who = json.loads(os.pread(fd, 4096, 0))
        if who["host"] != socket.gethostname():
            return False
        os.kill(who["pid"], 0)
        state = Path(f"/proc/{who['pid']}/stat").read_text().rpartition(")")[2].split()[0]
        return state in "ZX"  # dead, only its parent has not looked yet
    except ProcessLookupError:
        return True
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return False


def _holder(fd: int) -> str:
    who = _signature(fd)
    if "shards" in who:
        return " (one of its shards, see `shard`)"
    if "pid" in who and "host" in who:
        return f" (process {who['pid']} on {who['host']}, or a worker it left behind)"
    return ""


def _signature(fd: int) -> dict[str, Any]:
    """The text that the holder has written; {} if there is none."""
    try:
        who = json.loads(os.pread(fd, 4096, 0))
    except (OSError, ValueError):
        return {}
    return who if isinstance(who, dict) else {}


def holder(path: Path) -> dict[str, Any] | None:
    """The holder of the lock file `path`: {"pid", "host"}, {"shards": True}, or {} if unknown.

    None if nobody holds it. The check takes the lock for a moment, so a process that wants it at
    the same time waits briefly.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _signature(fd)
    except OSError:  # without locks, or on NFS, where a lock needs a file that can be written
        return None
    finally:
        os.close(fd)
    return None


def is_held(path: Path) -> bool:
    """Whether a process holds the lock file; it must exist."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        # Shared, so that several that look at once do not take each other for the holder.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


@contextlib.contextmanager
def in_turn(path: Path | None) -> Iterator[None]:
    """Alone among the processes that come here with `path`; at once without one."""
    if path is None:
        yield
        return
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
