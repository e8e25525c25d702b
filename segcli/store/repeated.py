"""Static images as the images that they repeat.

A static image has a row without masks, which names the image that it repeats; both are in one part.
Readers put the masks of the repeated image in its place ("repeat"), or leave it out ("ignore").
Where the repeated image leaves the part or gets new rows, the static image keeps the old masks as
rows of its own. One that has lost them all the same keeps the status "static" and counts nowhere,
until the next run processes it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from segcli.store.part_file import normalized_keys
from segcli.store.schema import MASK_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

Static = Literal["repeat", "ignore"]

NEEDED = ("key", "status", "mask", "repeats")
"""The columns without which static images cannot be told apart."""

_OF_MASKS = ("masks", *MASK_COLUMNS)

_CHUNK_BYTES = 2**30  # of a column; Arrow's limit for text and binary values is twice as much


def with_repeated(rows: pa.Table, only: Collection[str] | None = None) -> pa.Table:
    """The rows of a part, with NEEDED, in which static images (those with the keys `only`) have the
    masks of the images that they repeat, and the status "ok"."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = rows.schema
    # One chunk, so that a column of dictionaries has one dictionary.
    rows = rows.unify_dictionaries().cast(_wide(columns)).combine_chunks()
    mask = pc.fill_null(rows["mask"], 0).to_numpy()
    starts = np.flatnonzero(mask == 0)
    first = rows.select(["key", "status", "repeats"]).take(pa.array(starts))
    keys, statuses, repeats = (first[name].to_pylist() for name in ("key", "status", "repeats"))
    source = _sources(keys, statuses, repeats, only)
    lengths = np.diff(np.append(starts, len(mask)))[source]
    of_image = np.repeat(np.arange(len(starts)), lengths)
    inside = np.arange(len(of_image)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    image_rows = starts[of_image]
    mask_rows = starts[source][of_image] + inside
    resolved = pa.array((source != np.arange(len(source)))[of_image])
    status = _with_status(rows["status"].take(pa.array(image_rows)), resolved)

    def chunk(some: slice) -> pa.Table:
        taken = [
            status[some]
            if name == "status"
            else rows[name].take(pa.array((mask_rows if name in _OF_MASKS else image_rows)[some]))
            for name in rows.column_names
        ]
        return pa.table(taken, schema=rows.schema).cast(columns)

    chunks = [chunk(some) for some in _slices(rows, len(of_image))]
    return pa.concat_tables(chunks) if chunks else columns.empty_table()


def rows_of(rows: pa.Table, keys: Collection[str], *, others: bool = False) -> pa.Table:
    """The rows of a part of these images, or of all `others`.

    A static image among them that repeats one of the rest becomes an "ok" image of its own with
    the same masks.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    def wanted(rows: pa.Table) -> pa.ChunkedArray:
        found = pc.is_in(normalized_keys(rows["key"]), value_set=pa.array(list(keys), pa.string()))
        return pc.invert(found) if others else found

    found = rows.filter(wanted(rows))
    alone = _alone(found)
    if not alone:
        return found
    found = with_repeated(rows, alone)
    found = found.filter(wanted(found))
    resolved = pc.equal(found["status"], "ok")
    repeats = pc.if_else(resolved, pa.scalar(None, pa.string()), found["repeats"])
    at = found.column_names.index("repeats")
    return found.set_column(at, found.schema.field(at), repeats)


def _alone(rows: pa.Table) -> set[str]:
    """The keys of static images that repeat no "ok" image in these rows."""
    import pyarrow.compute as pc

    if "repeats" not in rows.column_names:
        return set()
    static = rows.filter(pc.equal(rows["status"], "static"))
    if not static.num_rows:
        return set()
    ok = rows.filter(pc.equal(rows["status"], "ok"))["key"]
    there = pc.is_in(static["repeats"], value_set=ok.combine_chunks())
    return {*static.filter(pc.invert(there))["key"].to_pylist()}


def _wide(columns: pa.Schema) -> pa.Schema:
    """The same columns, in which text and binary values may have more than 2 GiB in all."""
    import pyarrow as pa

    wide = {pa.string(): pa.large_string(), pa.binary(): pa.large_binary()}
    return pa.schema([column.with_type(wide.get(column.type, column.type)) for column in columns])


def _slices(rows: pa.Table, length: int) -> Iterator[slice]:
    """Parts of `length` rows in each of which no column has more than _CHUNK_BYTES."""
    import pyarrow as pa
    import pyarrow.compute as pc

    wide = (pa.large_string(), pa.large_binary())
    lengths = [pc.max(pc.binary_length(c)).as_py() or 1 for c in rows.columns if c.type in wide]
    step = max(1, _CHUNK_BYTES // max(lengths, default=1))
    return (slice(start, start + step) for start in range(0, length, step))


def _sources(
    keys: Sequence[str],
    statuses: Sequence[str],
    repeats: Sequence[str | None],
    only: Collection[str] | None,
) -> NDArray[np.int64]:
    """For each image the number of the one whose masks it has; its own unless it is static."""
    place = {key: i for i, (key, s) in enumerate(zip(keys, statuses, strict=True)) if s == "ok"}
    found = [
        place.get(other, i)
        if status == "static" and other is not None and (only is None or key in only)
        else i
        for i, (key, status, other) in enumerate(zip(keys, statuses, repeats, strict=True))
    ]
    return np.array(found, np.int64)


def _with_status(column: pa.ChunkedArray, resolved: pa.Array) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = column.cast(pa.large_string())
    changed = pc.if_else(resolved, pa.scalar("ok", plain.type), plain)
    if pa.types.is_dictionary(column.type):
        return changed.cast(column.type.value_type).dictionary_encode().cast(column.type)
    return changed


def repeated_sql(stored: str, columns: Sequence[str]) -> str:
    """The same as a query in DuckDB over the table `stored`, which has `columns`, and `part` and
    `image` as `segcli.store.query.Rows` has them."""
    values = []
    for name in (*columns, "part", "image"):
        quoted = '"' + name.replace('"', '""') + '"'
        value = f"{'m' if name in _OF_MASKS else 's'}.{quoted}"
        if name == "status":
            value = "CASE WHEN m.key IS NULL THEN s.status ELSE 'ok' END AS status"
        values.append(value)
    return (
        f"SELECT * FROM {stored} WHERE status <> 'static' UNION ALL "
        f"SELECT {', '.join(values)} FROM (SELECT * FROM {stored} WHERE status = 'static') s "
        f"LEFT JOIN (SELECT * FROM {stored} WHERE status = 'ok') m "
        f"ON m.part = s.part AND m.key = s.repeats"
    )
