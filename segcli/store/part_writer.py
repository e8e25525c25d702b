"""The parts of an output, as a run adds and changes them."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Collection, Iterable, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from segcli.keys import prefixed
from segcli.partitions import Partitions
from segcli.store.compatibility import Joining
from segcli.store.directory import list_parts
from segcli.store.footer import Footer
from segcli.store.key_index import key_hash
from segcli.store.part_file import normalized_keys, open_part, read_footer, read_marks
from segcli.store.place import Place, Replaced
from segcli.store.repeated import rows_of
from segcli.store.schema import table
from segcli.store.shard_spec import ShardSpec
from segcli.store.tracks_end import keep_tracks, note_rewritten
from segcli.types import Record

_TRIES, _PAUSE_S = 20, 1.0  # of shards that rewrite one part
_Result = TypeVar("_Result")


def part_name(keys: Iterable[str]) -> str:
    """A name that depends on the keys in any order, so that a retried chunk overwrites itself."""
    name = hashlib.blake2b(digest_size=16)
    for digest in sorted(key_hash(key) for key in keys):
        name.update(digest)
    return f"part-{name.hexdigest()}.parquet"


@dataclass(frozen=True, slots=True)
class PartWriter:
    """What a process needs to commit parts to `place`, while the lock is held for it."""

    place: Place
    joining: Joining

    def write(self, records: Sequence[Record], *, create: bool, begun: float | None = None) -> str:
        """Put all of `records` in place as one part; returns its name. Raises OutputError.

        `create`: the directory may not exist yet; else its absence means that it was removed.
        `begun`: when the run began them (seconds since 1970).
        """
        name = self.name_of([r.sample.key for r in records])
        settings = self.footer.settings.of(records[0].sample.key)
        ended = None if begun is None else time.time()
        footer = replace(self.footer, settings=settings, begun=begun, ended=ended)
        rows = table(records, self.columns, self.footer.categories)
        self.place.add(name, rows, footer, create=create, check=self._check_neighbour)
        return name

    def name_of(self, keys: Collection[str]) -> str:
        """The name of the part of these images, with the folder of their partition."""
        partitions = Partitions.of(self.footer.settings.compared)
        if partitions is None:
            return part_name(keys)
        (folder,) = {partitions.folder(key) for key in keys}
        return f"{folder}/{part_name(keys)}"

    def find(self, keys: Collection[str]) -> tuple[str, Footer, tuple[tuple[str, str], ...]] | None:
        """The part of exactly these images, if it is in place, and its failures (key, reason)."""
        name = self.name_of(keys)
        if not self.place.has(name):
            return None
        with open_part(self.directory / name) as (file, footer):
            rows = file.read(["key", "error"]).to_pylist() if footer.failed else []
        return name, footer, tuple((r["key"], r["error"]) for r in rows if r["error"])

    def rewrite(self, name: str, records: Sequence[Record]) -> None:
        """Replace the images of `records` in part `name`; the others keep their masks.

        The keys of the part stay the same, hence its name, and one rename swaps the two states.
        """
        new = table(records, self.columns, self.footer.categories)
        import pyarrow.compute as pc  # here, for it takes long to load, and eval does without

        # An undivided run may have made the part: then it holds images of several shards.
        def change() -> None:
            old, footer, state = self.place.read(name)
            redone = pa.array([r.sample.key for r in records], pa.string())
            keys = normalized_keys(old["key"])
            is_redone = pc.is_in(keys, value_set=redone)
            if pc.count_distinct(keys.filter(is_redone)).as_py() != len(records):
                raise ValueError(f"{name} does not hold all of the images to be replaced")
            kept = rows_of(old, redone.to_pylist(), others=True)
            footer = replace(footer, redone=self.footer.settings.recorded)
            footer = note_rewritten(footer, old.filter(is_redone), new)
            self.place.replace(name, pa.concat_tables([kept, new]), footer, state)

        self._in_turn(change)

    def remove(self, name: str, gone: Sequence[str]) -> Footer | None:
        """Take the rows of the images `gone` out of part `name`; its new footer, None when the
        part had no other image and has been removed.

        The part keeps its name, so that one rename swaps the two states. The last part of an
        output keeps its rows: no reader takes an empty folder for an output.
        """

        def change() -> Footer | None:
            old, footer, state = self.place.read(name)
            kept = rows_of(old, gone, others=True)
            if kept.num_rows:
                # The speed of its run would be that of fewer images.
                footer = replace(footer, begun=None, ended=None)
                self.place.replace(name, kept, footer, state)
                return read_footer(self.directory / name)
            if list_parts(self.directory) == [name]:
                return footer
            keep_tracks(self.place, [name])
            self.place.remove(name)
            return None

        return self._in_turn(change)

    def remove_repeated(self, split: ShardSpec | None = None) -> None:
        """Keep the rows of each image (of a shard: its own) in the first of the parts that hold it,
        of those that have masks if there is one."""
        names = list_parts(self.directory)
        kept_in: dict[bytes, str] = {}
        for of_failed in (False, True):
            for name in names:
                for mark in read_marks(self.directory / name)[0]:
                    if (mark.failed or mark.lost) == of_failed:
                        kept_in.setdefault(key_hash(mark.key), name)
        for name in names:
            marks, _, _ = read_marks(self.directory / name)
            again = [
                mark.key
                for mark in marks
                if kept_in[key_hash(mark.key)] != name and (split is None or mark.key in split)
            ]
            if again:
                self.remove(name, again)

    def record_move(self, name: str) -> None:
        """Note in part `name` that its archive is at the source root of this run now."""

        def change() -> None:
            rows, footer, state = self.place.read(name)
            root = self.footer.settings.roots[prefixed("", footer.settings.key_prefix)]
            if root in footer.roots:  # another shard was faster
                return
            moved_to = (*footer.moved_to, root)
            self.place.replace(name, rows, replace(footer, moved_to=moved_to), state)

        self._in_turn(change)

    @property
    def directory(self) -> Path:
        """The output as a path, below which the parts are read."""
        return self.place.directory

    def record_complete(self, name: str, complete: Set[bytes]) -> None:
        """Add the hashes to those in the footer of part `name`."""

        def change() -> None:
            rows, footer, state = self.place.read(name)
            footer = replace(footer, complete=footer.complete | complete)
            self.place.replace(name, rows, footer, state)

        self._in_turn(change)

    def _in_turn(self, change: Callable[[], _Result]) -> _Result:
        """Call `change`, which reads a part and replaces it, again if another shard has replaced
        the part in between."""
        for left in reversed(range(_TRIES)):
            try:
                with self.place.alone():
                    return change()
            except Replaced:
                if not left:
                    raise
                time.sleep(random.uniform(0, _PAUSE_S))
        raise AssertionError("the last try returns or raises")

    @property
    def columns(self) -> pa.Schema:
        return self.joining.columns

    @property
    def footer(self) -> Footer:
        return self.joining.footer

    def _check_neighbour(self, part: str | None = None) -> None:
        """Shards that began with an empty output meet here; all parts there agree: see one, or
        `part`."""
        for name in list_parts(self.directory)[:1] if part is None else [part]:
            with open_part(self.directory / name) as (file, footer):
                self.joining.check_neighbour(name, file.schema_arrow, footer)
