"""A Parquet manifest: one row per image, its path or its encoded bytes in one column.

Rows are streamed in small batches, independent of the row groups. Memory holds about one page of
the image column, the smallest unit of Parquet (a few megabytes, or up to a thousand large images
with pyarrow's defaults). The other columns are carried to the output. A manifest in a bucket is
read by ranges, and one on a web server as a whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BufferedReader, BytesIO
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as kinds

from segcli.cloud.errors import StoreError
from segcli.cloud.object_file import ObjectFile
from segcli.cloud.objects import fetch
from segcli.cloud.urls import WEB, scheme_of, shown, url_of
from segcli.errors import UsageError
from segcli.keys import key_from_path, prefixed
from segcli.sources.named import sample_named
from segcli.sources.remote import below, url_sample
from segcli.suggest import did_you_mean
from segcli.types import Sample

GUESSED = ("path", "file", "file_name", "filename", "image", "key")
"""Columns used for the image without `column`; a column of bytes precedes one of paths."""

_NAMES_OF_BYTES = ("key", "path", "file_name", "filename", "file")
_TEXT = (kinds.is_string, kinds.is_large_string, kinds.is_string_view)
_BYTES = (kinds.is_binary, kinds.is_large_binary, kinds.is_binary_view)
_ROWS_OF_PATHS, _ROWS_OF_BYTES = 1024, 8
_MOST_WEB_BYTES = 2**28
_READ_AHEAD = 2**20
"""In bytes. With pre-buffering or unbuffered, a whole column chunk would be read at once."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The roles of columns: `image` has paths or bytes; `name` gives rows of bytes their keys.

    `carried` maps names to types in the output; `left` are sentences on columns that cannot be
    carried.
    """

    image: str
    holds_bytes: bool
    name: str | None
    carried: Mapping[str, Any]
    left: tuple[str, ...]


def layout(manifest: str, column: str | None) -> Layout:
    """Read only the footer. Raises UsageError for an unsuitable file or column."""
    called = shown(manifest)
    with _translated(manifest):
        schema = pq.read_schema(_file(manifest))
    names = list(schema.names)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(
            f"the manifest {called!r} has several columns named {twice[0]!r}; expected one of "
            "each name: rename them"
        )
    types = {field.name: field.type for field in schema}
    image = _chosen(called, column, types) if column else _guessed(called, types)
    holds_bytes = not _is_text(types[image])
    name = None
    if holds_bytes:
        named = [n for n in _NAMES_OF_BYTES if n != image and n in types and _is_text(types[n])]
        name = named[0] if named else None
    others = {n: t for n, t in types.items() if n not in (image, name)}
    carried = {n: _plain(t) for n, t in others.items() if _rides(t)}
    left = tuple(
        f"column {n!r} of type {t} is not copied to the output: only plain values are"
        for n, t in others.items()
        if n not in carried
    )
    return Layout(image, holds_bytes, name, carried, left)


def list_rows(manifest: str, columns: Layout, key_prefix: str = "") -> Iterator[Sample]:
    """The samples of the manifest, in its order. Raises UsageError if it cannot be read."""
    wanted = [columns.image, *columns.carried] + ([columns.name] if columns.name else [])
    rows = _ROWS_OF_BYTES if columns.holds_bytes else _ROWS_OF_PATHS
    number = 0
    with _translated(manifest), _opened(manifest) as file:
        for batch in file.iter_batches(batch_size=rows, columns=wanted):
            values = _values(batch, columns)
            for row in range(batch.num_rows):
                cells = {name: column[row] for name, column in values.items()}
                yield _sample(cells, columns, number=number, manifest=manifest, prefix=key_prefix)
                number += 1


def _opened(manifest: str) -> pq.ParquetFile:
    return pq.ParquetFile(_file(manifest), buffer_size=_READ_AHEAD, pre_buffer=False)


def _file(manifest: str) -> str | IO[bytes]:
    """The manifest for pyarrow. Raises OSError."""
    url = url_of(manifest)
    if url is None:
        return manifest
    if scheme_of(url) not in WEB:
        return BufferedReader(ObjectFile(url))
    try:
        return BytesIO(fetch(url, limit=_MOST_WEB_BYTES).data)
    except StoreError as error:
        raise error.as_os_error() from None


def _sample(
    cells: Mapping[str, Any], columns: Layout, *, number: int, manifest: str, prefix: str
) -> Sample:
    """One row. Keys are names as written; a row without a name gets its number, from 0."""
    carried = {name: cells[name] for name in columns.carried}
    data, name = _image(cells[columns.image])
    if columns.name and cells[columns.name]:
        name = cells[columns.name]
    key = prefixed(key_from_path(name) if name else f"row-{number:09d}", prefix)
    if data is not None or (columns.holds_bytes and not name):
        data = data or b""
        return Sample(key, name or key, data=data, size_bytes=len(data), carried=carried)
    if not name:
        return Sample(key, "", carried=carried)
    if (remote := url_sample(name, prefix)) is not None:
        return replace(remote, carried=carried)
    if (url := url_of(manifest)) is not None:
        return Sample(key, below(url, name), carried=carried)
    found = sample_named(name, os.path.dirname(os.path.abspath(manifest)), prefix)
    time_s = carried.get("time_s") if found.frame is not None else None
    return replace(found, carried=carried, time_s=time_s)


def _image(cell: Any) -> tuple[bytes | None, str | None]:
    """(bytes, name) of a cell: a path, bytes, or a struct of both as written by Hugging Face."""
    if isinstance(cell, dict):
        return cell.get("bytes"), cell.get("path")
    if isinstance(cell, bytes):
        return cell, None
    return None, cell


def _values(batch: pa.RecordBatch, columns: Layout) -> dict[str, list[Any]]:
    """Columns as Python values; times as Arrow's integers, so that no digit is lost."""
    values = {}
    for name in batch.schema.names:
        column = batch.column(name)
        if kinds.is_dictionary(column.type):
            column = column.dictionary_decode()
        if name in columns.carried and kinds.is_temporal(column.type):
            column = column.view(pa.int32() if column.type.bit_width == 32 else pa.int64())
        values[name] = column.to_pylist()
    return values


def _chosen(manifest: str, column: str, types: Mapping[str, pa.DataType]) -> str:
    if column not in types:
        raise UsageError(
            f"the manifest {manifest!r} has no column {column!r}; it has {_listed(types)}"
            f"{did_you_mean(column, types)}"
        )
    if not (_is_text(types[column]) or _is_bytes(types[column])):
        raise UsageError(
            f"column {column!r} of the manifest {manifest!r} is {types[column]}; expected paths "
            "(string) or encoded images (binary, or a struct of bytes and path)"
        )
    return column


def _guessed(manifest: str, types: Mapping[str, pa.DataType]) -> str:
    there = [name for name in GUESSED if name in types]
    for fits in (_is_bytes, _is_text):
        for name in there:
            if fits(types[name]):
                return name
    raise UsageError(
        f"the manifest {manifest!r} has no column of images that is named {', '.join(GUESSED)}; "
        f"it has {_listed(types)}: choose one with `column`"
    )


def _listed(types: Mapping[str, pa.DataType]) -> str:
    shown = [f"{name} ({kind})" for name, kind in list(types.items())[:20]]
    return ", ".join(shown) + (f" and {len(types) - 20} more" if len(types) > 20 else "")


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if kinds.is_dictionary(kind) else kind


def _is_text(kind: pa.DataType) -> bool:
    kind = _plain(kind)
    return any(is_kind(kind) for is_kind in _TEXT)


def _is_bytes(kind: pa.DataType) -> bool:
    kind = _plain(kind)
    if kinds.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and _is_bytes(kind.field("bytes").type)
    return any(is_kind(kind) for is_kind in _BYTES)


def _rides(kind: pa.DataType) -> bool:
    """Whether a column can be copied to the output: numbers, text, booleans, times."""
    kind = _plain(kind)
    plain = kinds.is_primitive(kind) or kinds.is_decimal(kind) or _is_text(kind)
    return bool(plain and not kinds.is_interval(kind))


@contextmanager
def _translated(manifest: str) -> Iterator[None]:
    """Translate errors of pyarrow about the file into one sentence."""
    name = shown(manifest)
    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise UsageError(f"{name!r} is not a readable Parquet file: {_first(error)}") from None
    except OSError as error:
        reason = error.strerror or _first(error)
        raise UsageError(f"cannot read the manifest {name!r}: {reason}") from None


def _first(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200]
