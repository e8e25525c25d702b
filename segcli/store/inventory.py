"""The contents of an output: its parts, their keys, and whether this run may add rows."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from segcli.cloud.ahead import in_threads
from segcli.cloud.urls import is_url, shown
from segcli.errors import UsageError
from segcli.keys import containers_of, prefix_of, prefixed
from segcli.plurals import counted
from segcli.store.directory import list_parts
from segcli.store.footer import ROOT, Footer, Settings
from segcli.store.key_index import MAX_PARTS, KeyIndex, Mark, pack
from segcli.store.part_file import Marks, read_marks
from segcli.store.part_writer import PartWriter
from segcli.store.pruned import PrunedKeys, load_pruned, refuse_keys_alone
from segcli.store.shard_spec import ShardSpec
from segcli.types import Record, Sample

State = Literal["new", "done", "changed", "failed"]

_FIRST_KEYS = 200
_NO_SIZE = -1  # of an image that is to be processed again, whatever its file is
_LOAD_KEYS = 1_000_000  # 16 MB of keys are collected before they are sorted in


class HeldTwice(UsageError):
    """An output has two parts with the same image."""


class _Origin(IntEnum):
    """Where the images of a part came from, relative to this run."""

    SAME = 0
    MOVED = 1  # the same archive under another root: times of files may have changed on the way
    OTHER = 2  # another archive, kept apart by its key prefix


class Inventory:
    """`images`, `failed` and `masks` count what the output holds; `done` knows the keys.

    `moved`: key prefixes of parts none of which names the source root of this run for that prefix,
    so the archive has been moved there. `complete`: see `Footer`. `pruned`: images that had rows.
    """

    def __init__(self, path: Path, writer: PartWriter) -> None:
        self.done = KeyIndex()
        self.parts: list[str] = []
        self.images = self.failed = self.masks = 0
        self.moved: set[str] = set()
        self.complete: set[bytes] = set()
        self.pruned = PrunedKeys()
        self._rows_in: Counter[str] = Counter()
        self._failed_in: Counter[str] = Counter()
        self._name = shown(path)
        self._writer = writer
        self._numbers: dict[str, int] = {}
        self._origins = bytearray()
        self._prefixes: list[str] = []
        self._last: tuple[str, bool] | None = None  # what `state` was asked last

    def __contains__(self, part: str) -> bool:
        return part in self._numbers

    def load(self, keys: Iterable[str] = ()) -> None:
        """Read the footers and the keys (of a shard: its own) of the parts that are there.

        `keys` are those of the run's source; the first ones are looked at when it is another one.
        Raises UsageError when this run's rows must not join them.
        """
        joining, shard = self._writer.joining, self._writer.footer.settings.shard
        split = None if shard is None else ShardSpec.parse(shard)
        self.pruned = load_pruned(self._writer.directory)
        pending: list[NDArray[np.uint64]] = []
        waiting = repeats = 0
        roots: dict[str, set[str]] = {}
        for name, (marks, columns, footer) in self._read(split):
            joining.check_part(name, columns, footer)
            origin = self._origin(footer.settings)
            prefix = prefixed("", footer.settings.key_prefix)
            if origin != _Origin.OTHER:
                roots.setdefault(prefix, set()).update(footer.roots)
            self.count(None, footer)
            self.complete |= footer.complete
            for mark in marks:
                if not mark.lost:  # then its archive or video has to be opened again
                    self._count_inside(mark.key, failed=mark.failed)
            marks = [mark._replace(size_bytes=_NO_SIZE) if mark.lost else mark for mark in marks]
            pending.append(pack(marks, self._number(name, origin, prefix), fresh=False))
            waiting += len(marks)
            if waiting >= _LOAD_KEYS:
                repeats += self.done.insert(np.concatenate(pending, axis=1))
                pending, waiting = [], 0
        if pending:
            repeats += self.done.insert(np.concatenate(pending, axis=1))
        if not self.parts:
            refuse_keys_alone(self._writer.directory, self.pruned.index)
        for prefix, now in self._writer.footer.settings.roots.items():
            there = roots.get(prefix, set())
            were = there | self.pruned.roots_of(prefix)
            joining.check_roots(now, were, partial(self._knows, keys, prefix))
            if there and now not in there:
                self.moved.add(prefix)
        if repeats:
            raise HeldTwice(
                f"{self._name} contains {counted(repeats, 'image')} twice, probably because parts "
                f"of another output were copied into it; remove them, or choose a new output: "
                f"{self._new_command()}"
            )

    def _read(self, split: ShardSpec | None) -> Iterator[tuple[str, Marks]]:
        """The parts, in the order of their names; those in a bucket are fetched ahead."""
        directory = self._writer.directory
        names = list_parts(directory)
        read = partial(read_marks, split=split)
        paths = (directory / name for name in names)
        marks = in_threads(read, paths) if is_url(directory) else map(read, paths)
        return zip(names, marks, strict=True)

    def _knows(self, keys: Iterable[str], prefix: str) -> bool:
        """Whether at least half of the first keys with the prefix are in the output."""
        first = islice((key for key in keys if key.startswith(prefix)), _FIRST_KEYS)
        found = [self.done.find(key) is not None for key in first]
        return 2 * sum(found) >= len(found)

    def rows_in(self, container: str) -> tuple[int, int]:
        """How many images of the archive or video have or had rows, or itself where it cannot be
        read, and how many of these have failed before this run."""
        itself = self.done.find(container) or self.pruned.index.find(container)
        rows = self._rows_in[container] + self.pruned.images_in[container] + (itself is not None)
        failed = self._failed_in[container] + self.pruned.failed_in[container]
        return rows, failed + (itself is not None and itself.failed)

    def _count_inside(self, key: str, *, failed: bool) -> None:
        for container in containers_of(key):
            self._rows_in[container] += 1
            self._failed_in[container] += failed

    def state(self, sample: Sample) -> State:
        """What is known of a sample; raises UsageError when its key is another archive's."""
        entry = self.done.find_listed(sample.key)
        self._last = sample.key, entry is not None and entry.fresh
        if entry is None:
            return "done" if self._is_pruned(sample) else "new"
        origin = self._origins[entry.part]
        if origin == _Origin.OTHER:
            raise UsageError(
                f"{self._name} already has {sample.key!r} from another source; use another "
                f"`key_prefix` to keep them apart, or choose a new output: {self._new_command()}"
            )
        if entry.fresh:
            return "done"
        # A file that has vanished cannot be processed again, so its rows stay.
        if sample.size_bytes is not None:
            same_time = origin == _Origin.MOVED or entry.same_mtime(sample.mtime_ns)
            if not (same_time and entry.same_size(sample.size_bytes)):
                return "changed"
        return "failed" if entry.failed else "done"

    def is_fresh(self, key: str) -> bool:
        """Whether this run has committed the key."""
        if self._last is not None and self._last[0] == key:
            return self._last[1]  # a look-up takes 5 us, and `state` has just made it
        entry = self.done.find(key)
        return entry is not None and entry.fresh

    def is_outdated(self, key: str, container: Sample) -> bool:
        """Whether the row of `key` is a failed one of an earlier state of its archive or video,
        which is `container` now, and was not listed again."""
        entry = self.done.find(key)
        if entry is None or entry.listed or entry.fresh or not entry.failed:
            return False
        same_time = self._origins[entry.part] != _Origin.SAME or entry.same_mtime(
            container.mtime_ns
        )
        is_whole = key == container.key
        return not same_time or (is_whole and not entry.same_size(container.size_bytes))

    def _is_pruned(self, sample: Sample) -> bool:
        """Whether the rows of this state of the file were pruned."""
        entry = self.pruned.index.find(sample.key)
        if entry is None:
            return False
        roots = self._writer.footer.settings.roots
        origin = self.pruned.origins[entry.part]
        # The archive has moved since: times of files may have changed on the way.
        is_moved = origin is not None and origin[1] != roots.get(prefix_of(sample.key, roots))
        same_time = is_moved or entry.same_mtime(sample.mtime_ns)
        return sample.size_bytes is None or (same_time and entry.same_size(sample.size_bytes))

    def unlisted(self) -> Iterator[tuple[str, Footer, list[str]]]:
        """Part by part, the keys (of a shard: its own) of this source that `state` was not asked
        for: (part, its footer, keys)."""
        for number in self.done.unlisted_parts():
            if self._origins[number] == _Origin.OTHER:
                continue
            marks, _, footer = read_marks(self._writer.directory / self.parts[number])
            found = ((mark.key, self.done.find(mark.key)) for mark in marks)
            keys = [key for key, entry in found if entry is not None and not entry.listed]
            yield self.parts[number], footer, keys

    def part_of(self, key: str) -> str | None:
        entry = self.done.find(key)
        return None if entry is None else self.parts[entry.part]

    def remember(self, name: str, records: Sequence[Record]) -> None:
        """`records` have been committed to part `name`."""
        self._last = None
        number = self._numbers.get(name)
        if number is None:
            prefix = prefix_of(records[0].sample.key, self._writer.footer.settings.roots)
            number = self._number(name, _Origin.SAME, prefix)
            self.moved.discard(prefix)  # the new part names the root
            for record in records:
                self._count_inside(record.sample.key, failed=False)
        marks = (
            Mark(r.sample.key, r.sample.size_bytes, r.sample.mtime_ns, r.error is not None)
            for r in records
        )
        self.done.add(marks, number, fresh=True)

    def count(self, before: Footer | None, after: Footer | None) -> None:
        """A part that said `before` now says `after`; None: it is not there."""
        for footer, sign in ((before, -1), (after, 1)):
            if footer is not None:
                self.images += sign * footer.images
                self.failed += sign * footer.failed
                self.masks += sign * footer.masks

    def parts_of(self, prefix: str) -> list[str]:
        """The parts whose keys have this prefix."""
        parts = zip(self.parts, self._prefixes, strict=True)
        return [name for name, own in parts if own == prefix]

    def _number(self, name: str, origin: _Origin, prefix: str) -> int:
        if len(self.parts) == MAX_PARTS:
            raise UsageError(
                f"{self._name} has {MAX_PARTS} parts, the most an output can have; write to a new "
                f"one: {self._new_command()}"
            )
        self._numbers[name] = len(self.parts)
        self.parts.append(name)
        self._origins.append(origin)
        self._prefixes.append(sys.intern(prefix))
        return self._numbers[name]

    def _origin(self, there: Settings) -> _Origin:
        now = self._writer.footer.settings.roots.get(prefixed("", there.key_prefix))
        if now is None:
            return _Origin.OTHER
        return _Origin.SAME if str(there.compared.get(ROOT)) == now else _Origin.MOVED

    def _new_command(self) -> str:
        return self._writer.joining.new_command()
