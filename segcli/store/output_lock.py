"""The lock of an output: for one run, or shared by the shards of one run."""

from __future__ import annotations

import contextlib
import os
import random
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from segcli.cloud.urls import url_of
from segcli.errors import Locked, UsageError
from segcli.files import reporting
from segcli.store.directory import check_place, lock_path, resolve, shards_path
from segcli.store.lease import Lease
from segcli.store.lock import Lock, acquire, is_held
from segcli.store.shard_leases import take_output
from segcli.store.shard_spec import ShardSpec

_LOCK = re.compile(r"\d+-of-(\d+)\.lock")


class OutputLock:
    """The locks under which a run loads its model, writes and commits; in a bucket, the lease.

    Closing it leaves nothing behind when the run has made no output.
    """

    def __init__(
        self,
        real: Path,
        locks: Sequence[Lock] = (),
        created: Sequence[Path] = (),
        *,
        is_new: bool = False,
        lease: Lease | None = None,
    ) -> None:
        self.real = real
        self.lease = lease
        self.locks = tuple(locks)
        self._created = tuple(created)
        self._is_new = is_new

    def __enter__(self) -> OutputLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self.lease is not None:
            self.lease.close()
            return
        has_output = self.real.exists()
        if self._is_new and not has_output and len(self.locks) == 1:
            # A waiting process checks whether the file still exists, and creates another.
            with contextlib.suppress(OSError):
                lock_path(self.real).unlink()
        for lock in reversed(self.locks):
            lock.close()
        if not has_output:
            _remove_empty(self._created)


def lock_output(
    path: Path,
    *,
    shard: str | None = None,
    wait: bool = False,
    waiting: Callable[[str], None] | None = None,
) -> OutputLock:
    """Lock the output at `path`, for the shard "I/N" or for the one run that may write to it.

    `waiting` is called once with a sentence when there is something to wait for. Raises Locked when
    another process holds it (unless `wait`), UsageError when no output can be made there,
    OutputError when the lock cannot be written.
    """
    real = resolve(path)
    check_place(real)
    if (url := url_of(real)) is not None:
        split = None if shard is None else ShardSpec.parse(shard)
        return OutputLock(real, lease=take_output(url, split, wait=wait, waiting=waiting))
    created = [folder for folder in real.parents if not folder.exists()]
    with reporting(real.parent, "create"):
        try:
            real.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise UsageError(f"`out` {path}: {real.parent} is not a directory") from None
    split = None if shard is None else ShardSpec.parse(shard)
    is_new = not lock_path(real).exists()
    try:
        locks = _acquire(real, output=path, split=split, wait=wait, waiting=waiting)
    except BaseException:
        _remove_empty(created)
        raise
    return OutputLock(real, locks, created, is_new=is_new)


def _remove_empty(folders: Sequence[Path]) -> None:
    """Those that are empty, the deepest first."""
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _acquire(
    real: Path,
    *,
    output: Path,
    split: ShardSpec | None,
    wait: bool,
    waiting: Callable[[str], None] | None = None,
) -> tuple[Lock, ...]:
    """The locks of a run: the output's alone, or shared and with it the shard's own alone.

    `real` is `output` resolved. Shards of another number may work before and afterwards, but not
    meanwhile: an image would be done by two. Raises Locked, unless `wait`, UsageError and
    OutputError as `acquire` does.
    """
    if split is None:
        return (acquire(lock_path(real), output=output, wait=wait, waiting=waiting),)
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
                    f"`shard` {split}: a run in {other} shards is using {output}, and shards of "
                    f"different numbers share images; use the same number, or wait for its end "
                    f"with `wait=True`"
                )
        # All is let go while waiting, or two such runs would wait for one another.
        time.sleep(random.uniform(0.1, 0.5))


def _own_lock(real: Path, *, output: Path, split: ShardSpec, wait: bool) -> Lock:
    home = shards_path(real)
    with reporting(home, "create"):
        home.mkdir(exist_ok=True)
    path = home / f"{split.index}-of-{split.count}.lock"
    return acquire(path, output=f"shard {split} of {output}", wait=wait)


def _other_count(home: Path, split: ShardSpec) -> int | None:
    """The number of shards of a run of another number that is alive."""
    for name in os.listdir(home):
        found = _LOCK.fullmatch(name)
        if found and int(found[1]) != split.count and is_held(home / name):
            return int(found[1])
    return None
