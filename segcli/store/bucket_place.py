"""The parts of an output in a bucket: each is one object, and one conditional put commits it.

Nothing is staged or renamed. A put creates a part unless there is one of its name, or replaces the
state that was read; the lease is looked at before it and afterwards.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from io import BytesIO
from itertools import chain, count
from pathlib import Path

import pyarrow as pa

from segcli.cloud.errors import Kind, StoreError
from segcli.cloud.objects import Fetched
from segcli.cloud.urls import joined, url_of
from segcli.cloud.writing import delete, find, put_if, put_new
from segcli.errors import OutputError, UsageError
from segcli.store.directory import list_bucket_parts, list_parts
from segcli.store.exchange import exchange, finish_exchange
from segcli.store.footer import Footer
from segcli.store.lease import LeaseCheck, take
from segcli.store.part_file import encoded, part_in
from segcli.store.place import Replaced, State

_LOOKS = 200  # at the turn of another shard, which takes a few requests


@dataclass(frozen=True, slots=True)
class Bucket:
    """`lease` is None where the output is only looked at. `turn` is the lease by which the shards
    of an output take turns at its first commit."""

    directory: Path
    lease: LeaseCheck | None = None
    turn: str | None = None

    def alone(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext()  # `replace` fails if another shard has been there

    def read(self, name: str) -> tuple[pa.Table, Footer, State]:
        try:
            there = find(self._url(name))
        except StoreError as error:
            raise OutputError(f"cannot read the part {self._url(name)}: {error}") from None
        if there is None:
            raise UsageError(f"{self._url(name)} has been removed while it was to be read")
        with part_in(BytesIO(there.data), self._url(name)) as (file, footer):
            return file.read().replace_schema_metadata(None), footer, there

    def add(
        self, name: str, rows: pa.Table, footer: Footer, *, create: bool, check: Callable[..., None]
    ) -> None:
        data = encoded(rows, footer)
        with self._creating(check) if create else contextlib.nullcontext(), self._writing(name):
            try:
                put_new(self._url(name), data)
            except StoreError as error:
                if error.kind != Kind.EXISTS:
                    raise
                # A worker that has died, or a run that was overtaken, has committed the same
                # images. Their rows are as good where they were made with the same settings.
                check(name)

    def replace(self, name: str, rows: pa.Table, footer: Footer, state: State) -> None:
        assert isinstance(state, Fetched), "from `read`"
        data = encoded(rows, footer)
        with self._writing(name):
            put_if(self._url(name), data, state)

    @contextlib.contextmanager
    def _creating(self, check: Callable[..., None]) -> Iterator[None]:
        """Of the shards that find the output empty, one commits its first part before the others
        look at the settings there."""
        if self.turn is None:
            yield
        elif list_parts(self.directory):
            check()
            yield
        else:
            held = take(self.turn, output=str(self.directory), wait=True, looks=_LOOKS)
            try:
                if list_parts(self.directory):
                    check()
                yield
            finally:
                held.close()

    def remove(self, name: str) -> None:
        with self._writing(name):
            delete(self._url(name))

    def exchange(self, old: Sequence[str], new: str, rows: pa.Table, footer: Footer) -> None:
        """Replace the parts `old` by `new`. Raises OutputError."""
        data = encoded(rows, footer)
        with self._writing(new):
            exchange(self._root, old, new, data, self.lease_held)

    def finish_exchange(self) -> None:
        """What a killed run left. Raises OutputError."""
        with self._writing(""):
            finish_exchange(self._root, self.lease_held)

    def set_aside(self, names: Sequence[str]) -> None:
        """Copy parts to OUT.broken, where nothing is overwritten, and then remove them. After a
        kill, a part may be in both places. Raises OutputError."""
        for name in names:
            with self._writing(name):
                there = find(self._url(name))
                if there is not None:
                    self._keep(name, there.data)
                    self.lease_held()
                    delete(self._url(name))

    def _keep(self, name: str, data: bytes) -> None:
        """Under its name, or the first of NAME.2, NAME.3, ... that is free."""
        folder = f"{self._root}.broken"
        for copy in chain([name], (f"{name}.{number}" for number in count(2))):
            try:
                put_new(joined(folder, copy), data)
            except StoreError as error:
                if error.kind != Kind.EXISTS:
                    raise
            else:
                return

    def has(self, name: str) -> bool:
        try:
            return find(self._url(name)) is not None
        except StoreError as error:
            raise OutputError(f"cannot read {self._url(name)}: {error}") from None

    def sizes(self) -> dict[str, int]:
        return {name: listed.size for name, listed in list_bucket_parts(self._root)}

    def clear(self, *, everything: bool) -> None:
        """Nothing is staged."""

    def lease_held(self) -> None:
        """Raises Locked when another run holds the lease by now."""
        assert self.lease is not None, "a preview is for looking only"
        self.lease.check()

    @property
    def _root(self) -> str:
        url = url_of(self.directory)
        assert url is not None, "a bucket"
        return url

    def _url(self, name: str) -> str:
        return joined(self._root, name)

    @contextlib.contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        self.lease_held()
        try:
            yield
        except StoreError as error:
            kind = Replaced if error.kind in (Kind.CHANGED, Kind.MISSING) else OutputError
            raise kind(
                f"cannot write {self._url(name)}: {error}; committed work is complete: fix the "
                f"cause, then run the same command again"
            ) from None
        # A process that is stopped between the look and the put may write after another run has
        # taken over. The next run takes out what is there twice; this one must not go on.
        self.lease_held()
