"""Who may write to an output: one run alone, or the shards of one run beside each other."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path

from segcli.errors import Locked, OutputError
from segcli.store.directory import lock_path, shards_path
from segcli.store.lock import Lock, acquire
from segcli.store.shard_spec import ShardSpec

_LOCK = re.compile(r"\d+-of-(\d+)\.lock")


def claim(real: Path, *, output: Path, split: ShardSpec | None, wait: bool) -> tuple[Lock, ...]:
    """The locks of a run: the output's alone, or shared and with it the shard's own alone.

    `real` is `output` resolved. Shards of another number may work before and afterwards, but not
    meanwhile: an image would be done by two. Raises Locked, unless `wait`, UsageError and
    OutputError as `acquire` does.
    """
    if split is None:
        return (acquire(lock_path(real), output=output, wait=wait),)
    while True:
        with contextlib.ExitStack() as held:
            common = acquire(lock_path(real), output=output, wait=wait, shared=True)
            held.callback(common.close)
            own = _own_lock(real, output=output, split=split, wait=wait)
            held.callback(own.close)
            other = _other_count(shards_path(real), split)
            if other is None:
                held.pop_all()
                return common, own
            if not wait:
                raise Locked(
                    f"--shard {split}: a run in {other} shards works on {output}, and shards of "
                    f"different numbers share images; give the same number, or wait for its end "
                    f"with --wait"
                )
        # All is let go while waiting, or two such runs would wait for one another.
        time.sleep(random.uniform(0.1, 0.5))


def _own_lock(real: Path, *, output: Path, split: ShardSpec, wait: bool) -> Lock:
    home = shards_path(real)
    try:
        home.mkdir(exist_ok=True)
    except OSError as e:
        raise OutputError(f"cannot create {home}: {e.strerror}") from e
    path = home / f"{split.index}-of-{split.count}.lock"
    return acquire(path, output=f"shard {split} of {output}", wait=wait)


def _other_count(home: Path, split: ShardSpec) -> int | None:
    """The number of shards of a run of another number that is alive."""
    for name in os.listdir(home):
        found = _LOCK.fullmatch(name)
        if found and int(found[1]) != split.count and _is_held(home / name):
            return int(found[1])
    return None


def _is_held(path: Path) -> bool:
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
