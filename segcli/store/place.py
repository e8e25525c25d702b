"""Where the parts of an output are, and how one is put there: a directory on a disk.

`bucket_place` is the other kind. Everything above reads parts by their paths (`part_file`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

import pyarrow as pa

from segcli.errors import OutputError
from segcli.files import reporting
from segcli.store.directory import (
    list_parts,
    make_folders,
    remove_empty,
    shards_path,
    staging_path,
    sync_directory,
)
from segcli.store.footer import Footer
from segcli.store.lock import in_turn
from segcli.store.part_file import read_part, write_part
from segcli.store.shard_spec import ShardSpec

_ADVICE = (
    "committed work is complete: free some space or fix the folder, then run the same command again"
)

State = object
"""Which state of a part was read; only the place knows how to compare it."""


class Replaced(OutputError):
    """Another process has replaced a part since it was read."""


class Place(Protocol):
    """`directory` names the output: a path, or the URL of a bucket as one."""

    @property
    def directory(self) -> Path: ...

    def alone(self) -> AbstractContextManager[None]:
        """No other process that writes to the output is inside at the same time."""
        ...

    def read(self, name: str) -> tuple[pa.Table, Footer, State]:
        """The rows of a part, its footer, and which state of it this is."""
        ...

    def add(
        self, name: str, rows: pa.Table, footer: Footer, *, create: bool, check: Callable[..., None]
    ) -> None:
        """A new part, whole or not at all. `create`: the output may not exist yet; `check` is
        called when another process has made it first, with the part if that is there. Raises
        OutputError."""
        ...

    def replace(self, name: str, rows: pa.Table, footer: Footer, state: State) -> None:
        """The part, which was read in `state`, by another of its name. Raises Replaced when it is
        in another state now, and OutputError."""
        ...

    def remove(self, name: str) -> None:
        """Raises OutputError."""
        ...

    def has(self, name: str) -> bool: ...

    def sizes(self) -> dict[str, int]:
        """The parts with their bytes."""
        ...

    def clear(self, *, everything: bool) -> None:
        """Remove what is staged, or only the empty folder for it."""
        ...


@dataclass(frozen=True, slots=True)
class Disk:
    """A directory: a part is staged next to it and comes by one rename.

    `turn` is the file by which the shards of a run take turns at what two must not do at once.
    """

    directory: Path
    staging: Path
    turn: Path | None = None

    def alone(self) -> AbstractContextManager[None]:
        return in_turn(self.turn)

    def read(self, name: str) -> tuple[pa.Table, Footer, State]:
        return (*read_part(self.directory / name), None)

    def add(
        self, name: str, rows: pa.Table, footer: Footer, *, create: bool, check: Callable[..., None]
    ) -> None:
        self._publish(name, rows, footer, check if create else None)

    def replace(self, name: str, rows: pa.Table, footer: Footer, state: State) -> None:
        self._publish(name, rows, footer, None)

    def remove(self, name: str) -> None:
        part = self.directory / name
        with reporting(part, "remove"):
            os.unlink(part)
            sync_directory(part.parent)
            # Another shard may have made an empty partition, and be about to put a part there.
            if self.turn is None:
                remove_empty(part.parent, self.directory)

    def has(self, name: str) -> bool:
        return (self.directory / name).exists()

    def sizes(self) -> dict[str, int]:
        return {n: (self.directory / n).stat().st_size for n in list_parts(self.directory)}

    def clear(self, *, everything: bool) -> None:
        if everything:
            shutil.rmtree(self.staging, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.staging.rmdir()

    def _publish(
        self, name: str, rows: pa.Table, footer: Footer, check: Callable[..., None] | None
    ) -> None:
        """`check`: the directory may not exist yet, see `add`."""
        # A directory of its own, so that it can become the output when this is the first part.
        home = self.staging / PurePosixPath(name).stem
        staged = home / name
        with reporting(self.directory, "write to", advice=_ADVICE):
            staged.parent.mkdir(parents=True, exist_ok=True)
            try:
                write_part(staged, rows, footer)
                self._put_in_place(home, name, check)
            finally:
                with contextlib.suppress(OSError):
                    staged.unlink(missing_ok=True)
                    remove_empty(staged.parent, self.staging)

    def _put_in_place(self, home: Path, name: str, check: Callable[..., None] | None) -> None:
        if check is not None:
            with in_turn(self.turn):
                if self._create(home, name):
                    return
                if self.turn is not None:
                    check()
        # Readers take no notice of a partition that is still empty.
        make_folders(self.directory, name)
        os.replace(home / name, self.directory / name)
        sync_directory((self.directory / name).parent)

    def _create(self, home: Path, name: str) -> bool:
        """The directory appears together with its first part: nobody sees it empty.

        False when it is there already; somebody may have been faster.
        """
        if self.directory.exists():
            return False
        for folder in PurePosixPath(name).parents:
            sync_directory(home / folder)
        try:
            os.rename(home, self.directory)
        except OSError as e:
            if e.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return False
            raise
        sync_directory(self.directory.parent)
        return True


def staging_paths(real: Path, split: ShardSpec | None) -> tuple[Path, ...]:
    """What is ours to write in, the first, and to remove: nobody else is there under our locks."""
    home = shards_path(real)
    if split is None:
        return staging_path(real), home
    return (home / f"{split.index}-of-{split.count}.staging",)


def remove_stale(staging: Path) -> None:
    """What a killed run left."""
    with (
        reporting(f"{staging}, left by an earlier run", "remove"),
        contextlib.suppress(FileNotFoundError),
    ):
        shutil.rmtree(staging)
