"""Static images as the images that they repeat.

A static image has a row without masks, which names the image that it repeats; both are in one part.
Readers put the masks of the repeated image in its place ("repeat"), or leave it out ("ignore"). An
image whose repeated image has no rows any more keeps the status "static" and counts nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from segcli.store.schema import MASK_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

Static = Literal["repeat", "ignore"]

NEEDED = ("key", "status", "mask", "repeats")
"""The columns without which static images cannot be told apart."""

_OF_MASKS = ("masks", *MASK_COLUMNS)


def with_repeated(rows: pa.Table) -> pa.Table:
    """The rows of a part, with NEEDED, in which static images have the masks of the images that
    they repeat, and the status "ok"."""
    import pyarrow as pa
    import pyarrow.compute as pc

    # One chunk, so that a column of dictionaries has one dictionary.
    rows = pa.Table.from_batches(rows.unify_dictionaries().combine_chunks().to_batches()[:1])
    mask = pc.fill_null(rows["mask"], 0).to_numpy()
    starts = np.flatnonzero(mask == 0)
    first = rows.select(["key", "status", "repeats"]).take(pa.array(starts))
    source = _sources(*(first[name].to_pylist() for name in ("key", "status", "repeats")))
    lengths = np.diff(np.append(starts, len(mask)))[source]
    of_image = np.repeat(np.arange(len(starts)), lengths)
    inside = np.arange(len(of_image)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    image_rows = pa.array(starts[of_image])
    mask_rows = pa.array(starts[source][of_image] + inside)
    columns = [
        rows[name].take(mask_rows if name in _OF_MASKS else image_rows)
        for name in rows.column_names
    ]
    resolved = pa.array((source != np.arange(len(source)))[of_image])
    at = rows.column_names.index("status")
    columns[at] = _with_status(columns[at], resolved)
    return pa.table(columns, schema=rows.schema)


def _sources(
    keys: Sequence[str], statuses: Sequence[str], repeats: Sequence[str | None]
) -> NDArray[np.int64]:
    """For each image the number of the one whose masks it has; its own unless it is static."""
    place = {key: i for i, (key, s) in enumerate(zip(keys, statuses, strict=True)) if s == "ok"}
    found = [
        place.get(other, i) if status == "static" and other is not None else i
        for i, (status, other) in enumerate(zip(statuses, repeats, strict=True))
    ]
    return np.array(found, np.int64)


def _with_status(column: pa.ChunkedArray, resolved: pa.Array) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = column.cast(pa.string())
    changed = pc.if_else(resolved, "ok", plain)
    if pa.types.is_dictionary(column.type):
        return changed.dictionary_encode().cast(column.type)
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
