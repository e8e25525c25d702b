"""What befalls a process: called in it before it begins (`start(..., before=...)`); and kills."""

import contextlib
import errno
import itertools
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import toy_gate


def no_space() -> None:
    _second_part_fails(errno.ENOSPC)


def no_quota() -> None:
    _second_part_fails(errno.EDQUOT)


def read_only() -> None:
    _second_part_fails(errno.EROFS)


def broken_disk() -> None:
    _second_part_fails(errno.EIO)


def ended_in_commit() -> None:
    """SIGTERM, just before each part gets its name."""

    def ended(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            os.kill(os.getpid(), signal.SIGTERM)
            return original(*args)

        return call

    os.rename, os.replace = ended(os.rename), ended(os.replace)


def clock_goes_back() -> None:
    """Each look at the clock of the wall is an hour before the last one."""
    now = [time.time()]

    def earlier() -> float:
        now[0] -= 3600
        return now[0]

    time.time = earlier
    time.time_ns = lambda: int(earlier() * 1e9)


def nobody_can_enter() -> bool:
    """Whether a user that owns nothing can read these files at all."""
    return all(folder.stat().st_mode & 0o001 for folder in Path(__file__).resolve().parents)


def nobody() -> None:
    """The rights of a user that owns nothing; root would have all."""
    if os.geteuid() == 0:
        _import_everything()
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)


def count_in(path: str) -> None:
    """Fake workers note there what they do (toy_worker.note)."""
    os.environ["TOY_DONE"] = path


def count_and_shut(path: str, gate: str, key: str) -> None:
    """Both: `count_in` and `toy_gate.shut`."""
    count_in(path)
    toy_gate.shut(gate, key)


def listing(chunk: int, dies_at: int = -1, counted: str = "", gate: str = "") -> None:
    """`segcli manifest` takes `chunk` images at a time, and 10 ms for each.

    SIGKILL before step `dies_at` of those that others see: a rename, or a folder that is removed.
    Images are noted in the file `counted`; the last one waits for the file `gate`.
    """
    from segcli import manifest
    from segcli.manifest import rows

    steps = itertools.count()
    content = rows.content

    def dying(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            if next(steps) == dies_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **more)

        return call

    def slow(sample: Any, header_only: bool) -> Any:
        toy_gate.wait([sample.key])
        time.sleep(0.01)
        if counted:
            with open(counted, "a") as file:
                file.write(f"{sample.key}\n")
        return content(sample, header_only)

    if gate:
        toy_gate.shut(gate, "bad.png")  # the last in the order of names
    manifest._CHUNK, rows.content = chunk, slow
    os.replace, shutil.rmtree = dying(os.replace), dying(shutil.rmtree)


def _import_everything() -> None:
    """By a run to elsewhere: a user that owns nothing may not be able to read Python's library."""
    from segcli.cli import main

    words = list(sys.argv)
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(SystemExit):
        sys.argv[sys.argv.index("--out") + 1] = f"{folder}/m.parquet"
        main()
    sys.argv = words


def workers_of(coordinator: int) -> list[int]:
    """The processes whose parent it is."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == coordinator:
                found.append(int(path.parent.name))
    return sorted(found)


def kill(coordinator: int, whom: str, chance: random.Random) -> int:
    """kill -9 of "a worker", "the coordinator" or "both"; returns how many workers lost a chunk."""
    # Stopped, it cannot give the chunk of the first victim to another before the second one falls.
    _send(coordinator, signal.SIGSTOP)
    workers = workers_of(coordinator)
    victims = [chance.choice(workers)] if workers and whom != "the coordinator" else []
    if whom != "a worker":
        victims.append(coordinator)
    for pid in victims:
        _send(pid, signal.SIGKILL)
    _send(coordinator, signal.SIGCONT)
    return len(victims) if whom == "a worker" else len(workers)


@dataclass(frozen=True, slots=True)
class Standing:
    """A process that was stopped; `fd` is its own even when its number is another's already."""

    fd: int

    @property
    def is_gone(self) -> bool:
        """Whether it has died, stopped as it was."""
        return bool(select.select([self.fd], [], [], 0)[0])

    def go_on(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.fd, signal.SIGCONT)
        os.close(self.fd)


def stop(coordinator: int, whom: str, chance: random.Random) -> Standing | None:
    """SIGSTOP of "a worker" or "the coordinator"; None when it has ended already."""
    candidates = workers_of(coordinator) if whom == "a worker" else [coordinator]
    if not candidates:
        return None
    try:
        standing = Standing(os.pidfd_open(chance.choice(candidates)))
    except ProcessLookupError:
        return None
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(standing.fd, signal.SIGSTOP)
    return standing


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _second_part_fails(number: int) -> None:
    """Half of it is written; the first part, the log and everything else are not concerned."""
    write = os.write
    files: list[int] = []

    def failing(fd: int, data: Any) -> int:
        files.append(fd)
        if len(files) == 1:
            return write(fd, data)
        if len(files) == 2:
            return write(fd, data[: len(data) // 2])
        raise OSError(number, os.strerror(number))

    os.write = failing
