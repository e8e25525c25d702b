"""One part: written next to the output, read back, and put in place by one rename."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import time
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from segcli.files import reporting
from segcli.keys import prefixed
from segcli.store.compatibility import Joining
from segcli.store.directory import list_parts, sync_directory
from segcli.store.footer import Footer
from segcli.store.key_index import key_hash
from segcli.store.lock import in_turn
from segcli.store.part_file import (
    normalized_keys,
    open_part,
    read_footer,
    read_part,
    write_part,
)
from segcli.store.schema import table
from segcli.types import Record

_ADVICE = "what is committed is whole: make room or mend the place, then run the same command again"


def part_name(keys: Iterable[str]) -> str:
    """Named by its keys, in whatever order, so that a retried chunk overwrites itself."""
    name = hashlib.blake2b(digest_size=16)
    for digest in sorted(key_hash(key) for key in keys):
        name.update(digest)
    return f"part-{name.hexdigest()}.parquet"


@dataclass(frozen=True, slots=True)
class PartWriter:
    """What a process needs to commit parts to `directory`, while the lock is held for it.

    `turn` is the file by which the shards of a run take turns at what two must not do at once.
    """

    directory: Path
    staging: Path
    joining: Joining
    turn: Path | None = None

    def write(self, records: Sequence[Record], *, create: bool, begun: float | None = None) -> str:
        """Put all of `records` in place as one part; returns its name. Raises OutputError.

        `create`: the directory may not exist yet; else its absence means that it was removed.
        `begun`: when the run began them (seconds since 1970).
        """
        name = part_name(r.sample.key for r in records)
        settings = self.footer.settings.of(records[0].sample.key)
        ended = None if begun is None else time.time()
        footer = replace(self.footer, settings=settings, begun=begun, ended=ended)
        self._publish(name, table(records, self.columns, self.footer.categories), footer, create)
        return name

    def find(self, keys: Iterable[str]) -> tuple[str, Footer, tuple[tuple[str, str], ...]] | None:
        """The part of exactly these images, if it is in place, and its failures (key, reason)."""
        path = self.directory / part_name(keys)
        if not path.exists():
            return None
        with open_part(path) as (file, footer):
            rows = file.read(["key", "error"]).to_pylist() if footer.failed else []
        return path.name, footer, tuple((r["key"], r["error"]) for r in rows if r["error"])

    def rewrite(self, name: str, records: Sequence[Record]) -> None:
        """Replace the images of `records` in part `name`; the others stay as they are.

        The keys of the part stay the same, hence its name, and one rename swaps the two states.
        """
        new = table(records, self.columns, self.footer.categories)
        import pyarrow.compute as pc  # here, for it takes long to load, and eval does without

        # An undivided run may have made the part: then it holds images of several shards.
        with in_turn(self.turn):
            old, footer = read_part(self.directory / name)
            redone = pa.array([r.sample.key for r in records], pa.string())
            keys = normalized_keys(old["key"])
            is_redone = pc.is_in(keys, value_set=redone)
            if pc.count_distinct(keys.filter(is_redone)).as_py() != len(records):
                raise ValueError(f"{name} does not hold all of the images to be replaced")
            kept = old.filter(pc.invert(is_redone))
            footer = replace(footer, redone=self.footer.settings.recorded)
            self._publish(name, pa.concat_tables([kept, new]), footer, create=False)

    def remove(self, name: str, gone: Sequence[str]) -> Footer | None:
        """Take the rows of the images `gone` out of part `name`; its new footer, None when the
        part had no other image and has been removed.

        The part keeps its name, so that one rename swaps the two states. The last part of an
        output keeps its rows: no reader takes an empty folder for an output.
        """
        import pyarrow.compute as pc

        with in_turn(self.turn):
            old, footer = read_part(self.directory / name)
            is_gone = pc.is_in(normalized_keys(old["key"]), value_set=pa.array(gone, pa.string()))
            kept = old.filter(pc.invert(is_gone))
            if kept.num_rows:
                # The speed of its run would be that of fewer images.
                footer = replace(footer, begun=None, ended=None)
                self._publish(name, kept, footer, create=False)
                return read_footer(self.directory / name)
            if list_parts(self.directory) == [name]:
                return footer
            with reporting(self.directory / name, "remove"):
                os.unlink(self.directory / name)
                sync_directory(self.directory)
            return None

    def record_move(self, name: str) -> None:
        """Note in part `name` that its archive is at the source root of this run now."""
        with in_turn(self.turn):
            rows, footer = read_part(self.directory / name)
            root = self.footer.settings.roots[prefixed("", footer.settings.key_prefix)]
            if root in footer.roots:  # another shard was faster
                return
            moved_to = (*footer.moved_to, root)
            self._publish(name, rows, replace(footer, moved_to=moved_to), create=False)

    def record_complete(self, name: str, complete: Set[bytes]) -> None:
        """Add the hashes to those in the footer of part `name`."""
        with in_turn(self.turn):
            rows, footer = read_part(self.directory / name)
            footer = replace(footer, complete=footer.complete | complete)
            self._publish(name, rows, footer, create=False)

    @property
    def columns(self) -> pa.Schema:
        return self.joining.columns

    @property
    def footer(self) -> Footer:
        return self.joining.footer

    def _publish(self, name: str, rows: pa.Table, footer: Footer, create: bool) -> None:
        # A directory of its own, so that it can become the output when this is the first part.
        home = self.staging / name.removesuffix(".parquet")
        staged = home / name
        with reporting(self.directory, "write to", advice=_ADVICE):
            home.mkdir(parents=True, exist_ok=True)
            try:
                write_part(staged, rows, footer)
                self._put_in_place(staged, create)
            finally:
                with contextlib.suppress(OSError):
                    staged.unlink(missing_ok=True)
                    home.rmdir()

    def _put_in_place(self, staged: Path, create: bool) -> None:
        if create:
            with in_turn(self.turn):
                if self._create(staged.parent):
                    return
                if self.turn is not None:
                    self._check_neighbour()
        os.replace(staged, self.directory / staged.name)
        sync_directory(self.directory)

    def _create(self, home: Path) -> bool:
        """The directory appears together with its first part: nobody sees it empty.

        False when it is there already; somebody may have been faster.
        """
        if self.directory.exists():
            return False
        sync_directory(home)
        try:
            os.rename(home, self.directory)
        except OSError as e:
            if e.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return False
            raise
        sync_directory(self.directory.parent)
        return True

    def _check_neighbour(self) -> None:
        """Shards that began with an empty output meet here; all parts there agree: see one."""
        for name in list_parts(self.directory)[:1]:
            with open_part(self.directory / name) as (file, footer):
                self.joining.check_neighbour(name, file.schema_arrow, footer)
