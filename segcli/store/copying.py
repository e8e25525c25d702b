"""Copy the rows of an output into another one that follows it, in the current schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import pyarrow as pa

from segcli.cloud.urls import shown
from segcli.errors import UsageError
from segcli.store.directory import list_parts, resolve
from segcli.store.footer import Footer, differences
from segcli.store.key_index import KeyIndex, Mark, key_hash
from segcli.store.part_file import images_of, read_marks, read_part
from segcli.store.part_reader import part_paths, peek_carried
from segcli.store.part_writer import part_name
from segcli.store.place import Place
from segcli.store.pruned import load_pruned, refuse_keys_alone
from segcli.store.repeated import rows_of
from segcli.store.schema import SCHEMA_VERSION, schema
from segcli.store.tracks_end import note_rewritten


def copy_rows(source: Path, target: Path, place: Place) -> None:
    """Bring the output at `target`, which is locked and written to `place`, up to date with the one
    at `source`.

    New images are copied, and rows of images that were processed again are replaced. Images that
    `source` does not have any more keep their rows. Images that were pruned from `target` are only
    copied again when they have changed. Raises UsageError when `target` has rows of another run, or
    was removed without its pruned keys; OutputError when it cannot be written. A kill leaves whole
    parts.
    """
    if resolve(source) == resolve(target):
        raise UsageError(f"`out` {shown(target)} is the output itself; leave `out` away")
    parts, real = part_paths(source), resolve(source)
    columns = schema(peek_carried(source) or {})
    there = _known(resolve(target))
    for path in parts:
        marks, _, footer = read_marks(path)
        _check(target, there, footer)
        fresh = [mark.key for mark in marks if there.lacks(mark)]
        redone: dict[str, list[str]] = {}
        for mark in marks:
            name, state = there.images.get(key_hash(mark.key), ("", _state(mark)))
            if state != _state(mark) and not mark.lost:
                redone.setdefault(name, []).append(mark.key)
        if fresh or redone:
            rows = _upgraded(read_part(path)[0], columns)
            _add(place, path.relative_to(real).as_posix(), rows, fresh, footer)
            for name, keys in redone.items():
                _replace(place, name, rows, keys)


_State = tuple[int | None, int | None, bool, bool]


@dataclass(frozen=True, slots=True)
class _Known:
    """The images of the copy by the hash of the key, each with its part and its state; and those
    whose rows were pruned from it."""

    images: Mapping[bytes, tuple[str, _State]]
    footer: Footer | None
    pruned: KeyIndex

    def lacks(self, mark: Mark) -> bool:
        """Whether the image is to be added."""
        return key_hash(mark.key) not in self.images and not self.pruned.has(mark)


def _known(real: Path) -> _Known:
    images: dict[bytes, tuple[str, _State]] = {}
    footer = None
    for name in list_parts(real):
        marks, _, footer = read_marks(real / name)
        images |= {key_hash(mark.key): (name, _state(mark)) for mark in marks}
    pruned = load_pruned(real).index
    if footer is None:
        refuse_keys_alone(real, pruned)
    return _Known(images, footer, pruned)


def _state(mark: Mark) -> _State:
    return mark.size_bytes, mark.mtime_ns, mark.failed, mark.lost


def _check(target: Path, there: _Known, footer: Footer) -> None:
    if there.footer is None:
        return
    found = differences(there.footer, replace(footer, schema_version=there.footer.schema_version))
    if found:
        raise UsageError(
            f"{shown(target)} is a copy of an output with other settings: {'; '.join(found)}; "
            f"choose a new one"
        )


def _upgraded(rows: pa.Table, columns: pa.Schema) -> pa.Table:
    """The rows with the columns of the current version, null where theirs is earlier."""
    values = [
        rows[field.name] if field.name in rows.column_names else pa.nulls(len(rows), field.type)
        for field in columns
    ]
    return pa.table(values, schema=columns)


def _add(place: Place, part: str, rows: pa.Table, keys: Sequence[str], footer: Footer) -> None:
    """`part`: the name of the part that has the rows, in whose partition they stay."""
    if not keys:
        return
    some = rows_of(rows, keys)
    footer = replace(
        footer, schema_version=SCHEMA_VERSION, tracking=None, tracked=False, late=0, rewritten=(),
        begun=None, ended=None,
    )  # fmt: skip
    name = str(PurePosixPath(part).with_name(part_name(images_of(some))))
    place.add(name, some, footer, create=True, check=lambda *_: None)


def _replace(place: Place, name: str, rows: pa.Table, keys: Sequence[str]) -> None:
    old, footer, state = place.read(name)
    new = rows_of(rows, keys)
    footer = note_rewritten(footer, rows_of(old, keys), new)
    place.replace(name, pa.concat_tables([rows_of(old, keys, others=True), new]), footer, state)
