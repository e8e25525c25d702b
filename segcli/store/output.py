"""An output that is being written, with its lock held: commit and replace."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from types import TracebackType

import pyarrow as pa

from segcli.cloud.urls import is_url, url_of
from segcli.store.bucket_place import Bucket
from segcli.store.compatibility import Joining
from segcli.store.directory import check_place, list_parts, resolve, shards_path
from segcli.store.footer import Footer, Settings
from segcli.store.inventory import HeldTwice, Inventory, State
from segcli.store.key_index import KeyIndex
from segcli.store.output_lock import OutputLock, lock_output
from segcli.store.part_file import read_footer
from segcli.store.part_writer import PartWriter
from segcli.store.place import Disk, Place, remove_stale, staging_paths
from segcli.store.pruned import finish
from segcli.store.schema import SCHEMA_VERSION, Categories, schema
from segcli.store.shard_leases import turn_url
from segcli.store.shard_spec import ShardSpec
from segcli.types import Record, Sample


def open_output(
    path: Path,
    settings: Settings,
    *,
    carried: Mapping[str, pa.DataType],
    categories: Categories,
    wait: bool = False,
    same_source: bool = False,
    keys: Iterable[str] = (),
    lock: OutputLock | None = None,
) -> Output:
    """Lock `path` and read its contents; use it as a context manager.

    `keys` of the run's source tell whether another source may be the same one, moved.
    With `settings.shard` it is locked against all but the other shards. `lock` is a lock that the
    caller holds on the path already, and keeps. Nothing but the locks next to it is written before
    the first commit. Raises Locked when another process holds it (unless `wait`), UsageError when
    no output can be made there or when what is there was made otherwise, OutputError when it cannot
    be written.
    """
    own = lock_output(path, shard=settings.shard, wait=wait) if lock is None else None
    held = own or lock
    assert held is not None, "one of both"
    try:
        split = None if settings.shard is None else ShardSpec.parse(settings.shard)
        if not is_url(held.real):
            for stale in staging_paths(held.real, split):
                remove_stale(stale)
        elif held.lease is not None:
            Bucket(held.real, held.lease.check).finish_exchange()
        if split is None:
            finish(place_of(held.real, None, held))
        joining = _joining(path, settings, carried, categories, same_source=same_source)
        output = Output(joining, held, owns_lock=own is not None)
        try:
            output.inventory.load(keys)
        except HeldTwice:
            if not is_url(held.real):
                raise
            output.writer.remove_repeated(split)  # of a run that wrote after it was overtaken
            output = Output(joining, held, owns_lock=own is not None)
            output.inventory.load(keys)
    except BaseException:
        if own is not None:
            own.close()
        raise
    return output


def preview_output(
    path: Path,
    settings: Settings,
    *,
    carried: Mapping[str, pa.DataType],
    categories: Categories,
    same_source: bool = False,
    keys: Iterable[str] = (),
) -> Output:
    """As `open_output`, but read-only and without the lock, for a dry run."""
    check_place(resolve(path))
    output = Output(_joining(path, settings, carried, categories, same_source=same_source))
    output.inventory.load(keys)
    return output


def _joining(
    path: Path,
    settings: Settings,
    carried: Mapping[str, pa.DataType],
    categories: Categories,
    *,
    same_source: bool,
) -> Joining:
    names, ids = categories
    version = _version_of(resolve(path))
    footer = Footer(settings, tuple(names), tuple(ids), version)
    return Joining(path, schema(carried, version), footer, same_source)


def _version_of(real: Path) -> int:
    """The schema that new parts need: ours, or the older one of the parts that are there."""
    parts = list_parts(real)
    there = read_footer(real / parts[0]).schema_version if parts else SCHEMA_VERSION
    return min(there, SCHEMA_VERSION)


def peek(path: Path) -> Settings | None:
    """The settings of an output before it is opened, None when there is none yet.

    For what a resumed run takes over (`precision="auto"`).
    """
    real = resolve(path)
    names = list_parts(real)
    if not names:
        return None
    return read_footer(real / names[0]).settings


def place_of(real: Path, split: ShardSpec | None, lock: OutputLock | None) -> Place:
    """Where the parts of a run go that holds `lock`; None: it only looks."""
    if is_url(real):
        url, lease = url_of(real), None if lock is None else lock.lease
        first = None if url is None or split is None else turn_url(url)
        return Bucket(real, None if lease is None else lease.check, first)
    turn = None if split is None else shards_path(real) / "turn.lock"
    return Disk(real, staging_paths(real, split)[0], turn)


class Output:
    """A directory of parts, with the lock held."""

    def __init__(
        self, joining: Joining, lock: OutputLock | None = None, *, owns_lock: bool = False
    ) -> None:
        real = resolve(joining.path)
        shard = joining.footer.settings.shard
        split = None if shard is None else ShardSpec.parse(shard)
        self.path = joining.path
        self.writer = PartWriter(place_of(real, split, lock), joining)
        self.inventory = Inventory(joining.path, self.writer)
        self._lock = lock
        self._owns_lock = owns_lock

    def __enter__(self) -> Output:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Removes the empty staging directory and lets go of the lock, where it is its own."""
        if self._lock is None:
            return
        self.writer.place.clear(everything=False)
        if self._owns_lock:
            self._lock.close()

    @property
    def lock_fds(self) -> tuple[int, ...]:
        """For the workers that commit: whoever inherits them keeps the locks until it dies."""
        assert self._lock is not None, "a preview has no lock"
        return tuple(lock.fd for lock in self._lock.locks)

    @property
    def done(self) -> KeyIndex:
        return self.inventory.done

    @property
    def images(self) -> int:
        """Images that have rows, the failed ones included."""
        return self.inventory.images

    @property
    def failed(self) -> int:
        return self.inventory.failed

    @property
    def masks(self) -> int:
        return self.inventory.masks

    def record_move(self) -> None:
        """Note in a part that the archive has been moved, where no new part of this run says so.

        Raises OutputError.
        """
        self._assert_writable()
        for prefix in sorted(self.inventory.moved):
            self.writer.record_move(self._smallest(self.inventory.parts_of(prefix)))
        self.inventory.moved.clear()

    def record_complete(self, complete: Set[bytes]) -> None:
        """Note in a part those of the hashes that no part has. Raises OutputError."""
        self._assert_writable()
        new = complete - self.inventory.complete
        if new and self.inventory.parts:
            self.writer.record_complete(self._smallest(self.inventory.parts), new)
            self.inventory.complete |= new

    def _smallest(self, parts: Sequence[str]) -> str:
        """The one that is rewritten most quickly."""
        sizes = self.writer.place.sizes()
        return min(parts, key=lambda name: sizes.get(name, sys.maxsize))

    def state(self, sample: Sample) -> State:
        """The state of a sample: "new" samples are to be committed, "changed" ones replaced.

        "failed" ones (in earlier runs) are replaced on request, and "done" ones are skipped.
        Raises UsageError if the key belongs to an image of another archive.
        """
        return self.inventory.state(sample)

    def repeated(self, sample: Sample) -> bool:
        """True if this run has committed the key: the source lists it again."""
        return self.inventory.is_fresh(sample.key)

    def part_of(self, sample: Sample) -> str | None:
        """The part that contains the key; images are best replaced part by part."""
        return self.inventory.part_of(sample.key)

    def commit(self, records: Sequence[Record]) -> Path:
        """Make one part of a chunk of new images, all or nothing; the same chunk again overwrites.

        Raises OutputError (disk full, read-only, ...); then no part of it is there.
        """
        self._assert_writable()
        keys = [r.sample.key for r in records]
        if not keys or len({*keys}) < len(keys):
            raise ValueError("a chunk needs images, each of them once")
        name = self.writer.name_of(keys)
        for key in keys:
            if self.inventory.part_of(key) not in (None, name):
                raise ValueError(f"{key!r} is in another part already: replace it")
        before = read_footer(self.writer.directory / name) if name in self.inventory else None
        self.writer.write(records, create=not self.inventory.parts)
        self._remember(name, records, before)
        return self.writer.directory / name

    def replace(self, records: Sequence[Record]) -> list[Path]:
        """Put new rows in place of the old ones of images that are in the output already.

        Each part concerned is rewritten as a whole and swapped by one rename. Raises OutputError;
        then the parts that were not swapped yet are as they were.
        """
        self._assert_writable()
        by_part: dict[str, list[Record]] = {}
        for record in records:
            name = self.part_of(record.sample)
            if name is None:
                raise ValueError(f"{record.sample.key!r} is not in the output: commit it")
            by_part.setdefault(name, []).append(record)
        for name, redone in by_part.items():
            before = read_footer(self.writer.directory / name)
            self.writer.rewrite(name, redone)
            self._remember(name, redone, before)
        return [self.writer.directory / name for name in by_part]

    def remove(self, name: str, gone: Sequence[str]) -> int:
        """Take the rows of the images `gone` out of part `name`; how many images that were.

        They stay in the last part of an output if it holds nothing else. Raises OutputError; then
        the part is as it was.
        """
        self._assert_writable()
        before = read_footer(self.writer.directory / name)
        after = self.writer.remove(name, gone)
        self.inventory.count(before, after)
        return before.images - (after.images if after else 0)

    def adopt(self, name: str, samples: Sequence[Sample]) -> None:
        """A worker that holds our lock has put the rows of `samples` into part `name`.

        Counts the images of a new part; only those who write count `failed` and `masks`.
        """
        if name not in self.inventory:
            self.inventory.images += len(samples)
        self.inventory.remember(name, [Record(sample, None, None) for sample in samples])

    def _remember(self, name: str, records: Sequence[Record], before: Footer | None) -> None:
        self.inventory.count(before, read_footer(self.writer.directory / name))
        self.inventory.remember(name, records)

    def _assert_writable(self) -> None:
        assert self._lock is not None, "a preview is for looking only"
