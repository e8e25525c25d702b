"""The file of one part: Parquet with a footer that describes the run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from segcli.cloud.ahead import in_threads
from segcli.cloud.errors import Kind, ObjectError, StoreError
from segcli.cloud.object_file import ObjectFile
from segcli.cloud.objects import fetch
from segcli.cloud.urls import is_url, shown, url_of
from segcli.errors import UsageError
from segcli.keys import normalized
from segcli.store.footer import FOOTER_KEY, Footer
from segcli.store.key_index import Mark
from segcli.store.shard_spec import ShardSpec

# Hardly a value comes twice.
_PLAIN_COLUMNS = frozenset({"score", "bbox", "area", "rle", "mask_score", "keypoints"})
Marks = tuple[list[Mark], pa.Schema, Footer]
_ROW_GROUP = 100_000  # rows; a usual part is one group


def _counted(footer: Footer, rows: pa.Table) -> Footer:
    import pyarrow.compute as pc

    images = rows.filter(first_rows(rows["mask"]))
    return replace(
        footer,
        images=images.num_rows,
        failed=pc.sum(pc.equal(images["status"], "failed")).as_py() or 0,
        masks=rows.num_rows - rows["mask"].null_count,
        static=pc.sum(pc.equal(images["status"], "static")).as_py() or 0,
    )


def first_rows(mask: pa.ChunkedArray) -> pa.ChunkedArray:
    """True on exactly one row of each image."""
    import pyarrow.compute as pc

    # A Python number here would make pyarrow import pandas where there is one: half a second.
    zero = pc.subtract(mask, mask)
    return pc.or_kleene(pc.is_null(mask), pc.equal(mask, zero))


def normalized_keys(keys: pa.ChunkedArray) -> pa.ChunkedArray:
    """Keys of a part of any version as they are written now."""
    import pyarrow.compute as pc

    if not pc.any(pc.match_substring(keys, "\\")).as_py():
        return keys
    return pa.chunked_array([pa.array([normalized(k) for k in keys.to_pylist()], pa.string())])


def images_of(rows: pa.Table) -> list[str]:
    """The key of each image, once."""
    keys: list[str] = rows.filter(first_rows(rows["mask"]))["key"].to_pylist()
    return keys


def write_part(path: Path, rows: pa.Table, footer: Footer) -> None:
    """A whole file, durable and read back; the counts in the footer are made. Raises OSError."""
    footer = _counted(footer, rows)
    write_file(path, _serialise(rows, footer))
    _check(path, rows.num_rows, footer)


def encoded(rows: pa.Table, footer: Footer) -> bytes:
    """The bytes of the same file."""
    return bytes(_serialise(rows, _counted(footer, rows)))


def _serialise(rows: pa.Table, footer: Footer) -> memoryview:
    """A whole Parquet file in memory, so that only plain writes touch the disk."""
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        rows.schema,
        compression="zstd",
        use_dictionary=[n for n in rows.column_names if n not in _PLAIN_COLUMNS],
        # Smallest and largest RLE tell nothing and would only swell the footer.
        write_statistics=[n for n in rows.column_names if n not in ("rle", "bbox", "keypoints")],
        write_page_checksum=True,
    ) as writer:
        writer.write_table(rows, row_group_size=_ROW_GROUP)
        writer.add_key_value_metadata({FOOTER_KEY: footer.to_json()})
    return memoryview(sink.getvalue())


def write_file(path: Path, data: memoryview) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        while data:
            data = data[os.write(fd, data) :]
        os.fsync(fd)
    finally:
        os.close(fd)


def _check(path: Path, rows: int, footer: Footer) -> None:
    """Read back what was staged; an OSError when it is not what was written."""
    try:
        with open(path, "rb") as raw:
            found = pq.ParquetFile(raw).metadata
        whole = found.num_rows == rows and found.metadata[FOOTER_KEY] == footer.to_json()
    except pa.ArrowException as e:
        raise OSError(f"the part that was just written cannot be read back ({e})") from e
    if not whole:
        raise OSError("the part that was just written reads back differently")


class NotFetched(UsageError):
    """A request for a part failed, which says nothing about what the part contains."""


@contextlib.contextmanager
def open_part(
    path: Path, *, dictionaries: Sequence[str] = (), whole: bool = True
) -> Iterator[tuple[pq.ParquetFile, Footer]]:
    """Open a part. Raises UsageError, also inside the block, if it is damaged or not segcli's.

    A part in a bucket is fetched `whole`, or only what is read of it. `dictionaries`: columns of
    text that are read as Arrow dictionaries.
    """
    try:
        # Opened here because Arrow takes no path that is not valid text.
        with _opened(path, whole) as raw, part_in(raw, shown(path), dictionaries) as part:
            yield part
    except FileNotFoundError as e:
        raise UsageError(f"{shown(path)} was removed before it could be read") from e
    except ObjectError as e:
        raise NotFetched(f"cannot read the part {shown(path)}: {e}") from None
    except OSError as e:
        raise UsageError(f"cannot read the part {shown(path)}: {e.strerror or e}") from e


@contextlib.contextmanager
def part_in(
    raw: IO[bytes], name: str, dictionaries: Sequence[str] = ()
) -> Iterator[tuple[pq.ParquetFile, Footer]]:
    """The same of a file that is open already; `name` is what messages call it."""
    try:
        file = pq.ParquetFile(
            raw, read_dictionary=list(dictionaries), page_checksum_verification=True
        )
        yield file, _footer(file, name)
    except MemoryError:
        raise  # pyarrow's is one of its exceptions too, and says nothing about the part
    except (pa.ArrowException, OSError, UnicodeDecodeError) as e:  # the last one, of the names
        if isinstance(e, ObjectError | FileNotFoundError) or (isinstance(e, OSError) and e.errno):
            raise
        reason = str(e).splitlines()[0]
        raise UsageError(
            f"the part {name} cannot be read ({reason}): it is damaged or only partly copied; copy "
            f"it again, or remove it, and its images will be processed again"
        ) from e


def _opened(path: Path, whole: bool) -> IO[bytes]:
    url = url_of(path)
    if url is None:
        return open(path, "rb")
    if not whole:
        return BufferedReader(ObjectFile(url))
    try:
        return BytesIO(fetch(url).data)
    except StoreError as error:
        if error.kind == Kind.MISSING:
            raise FileNotFoundError(url) from None
        raise NotFetched(f"cannot read the part {url}: {error}") from None


def _footer(file: pq.ParquetFile, name: str) -> Footer:
    text: Mapping[bytes, Any] = file.metadata.metadata or {}
    try:
        return Footer.from_json(text[FOOTER_KEY])
    except (ValueError, KeyError, TypeError):
        raise UsageError(
            f"{name} is a Parquet file, but not a part of segcli predict of this version; give an "
            f"output of segcli predict"
        ) from None


def read_footer(path: Path) -> Footer:
    with open_part(path, whole=False) as (_, footer):
        return footer


def read_footers(paths: Sequence[Path]) -> Iterator[Footer]:
    """One after the other; those in a bucket are fetched ahead. Raises UsageError."""
    is_remote = any(is_url(path) for path in paths)
    return in_threads(read_footer, paths) if is_remote else map(read_footer, paths)


def read_part(path: Path) -> tuple[pa.Table, Footer]:
    """All of a part, with its footer, which is not kept in the table's own metadata as well."""
    with open_part(path) as (file, footer):
        return file.read().replace_schema_metadata(None), footer


def read_marks(path: Path, split: ShardSpec | None = None) -> Marks:
    """What resuming needs of a part: of the images of `split`, or of all."""
    with open_part(path) as (file, footer):
        columns = ["key", "status", "size_bytes", "mtime_ns", "mask"]
        found = file.schema_arrow
        columns += ["repeats"] if footer.static else []
        shard = footer.settings.shard
        foreign = split is not None and split.is_foreign(shard)
        # Where columns are missing the caller tells how the schemas differ.
        rows = None if foreign or not {*columns} <= {*found.names} else file.read(columns)
    if rows is None:
        return [], found, footer
    rows = rows.filter(first_rows(rows["mask"]))
    values = (rows[name].to_pylist() for name in columns[:4])
    lost = _lost(rows) if footer.static else frozenset()
    is_own = split is None or shard == str(split)
    marks = [
        Mark(normalized(key), size, mtime, status == "failed", key in lost)
        for key, status, size, mtime in zip(*values, strict=True)
        if is_own or (split is not None and key in split)
    ]
    return marks, found, footer


def _lost(images: pa.Table) -> frozenset[str]:
    """The keys of static images that repeat no "ok" image of these."""
    import pyarrow.compute as pc

    static = images.filter(pc.equal(images["status"], "static"))
    ok = {*images.filter(pc.equal(images["status"], "ok"))["key"].to_pylist()}
    pairs = zip(static["key"].to_pylist(), static["repeats"].to_pylist(), strict=True)
    return frozenset(key for key, other in pairs if other not in ok)
