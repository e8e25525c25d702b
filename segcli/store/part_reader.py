"""Read an output as streams of rows, and its settings, for eval, viz, stats and export."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from segcli.cloud.urls import shown
from segcli.errors import UsageError
from segcli.store.directory import list_parts, resolve
from segcli.store.part_file import first_rows, open_part, read_footer, read_footers
from segcli.store.repeated import NEEDED, Static, with_repeated
from segcli.store.schema import CARRIED_PREFIX, IMAGE_FIELDS, LATER, MASK_COLUMNS, MASK_FIELDS

_BATCH_ROWS = 16_384


def read_masks(
    path: Path, *, columns: Sequence[str] | None = None, min_score: float | None = None
) -> Iterator[pa.RecordBatch]:
    """Rows of masks only, with `columns` in that order (all by default); never an empty batch.

    The masks of one image follow one another, best first, but may be spread over two batches.
    Raises UsageError as `part_paths` does, at once, and when a part turns out to be damaged.
    """
    return _stream(part_paths(path), columns, "score", min_score)


def read_images(path: Path, *, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """One row per image, done, static or failed: the image columns (all by default, with `src_*`).

    Raises UsageError as `read_masks` does.
    """
    return _stream(part_paths(path), columns, "mask", None)


def read_rows(
    path: Path,
    *,
    columns: Sequence[str],
    dictionaries: Sequence[str] = (),
    min_score: float | None = None,
    static: Static = "ignore",
) -> Iterator[pa.RecordBatch]:
    """All rows in their order, of masks and of images without any; never an empty batch.

    `dictionaries`: those of the `columns` that come as Arrow dictionaries. `min_score`: without
    the masks of lower scores, but for the first of an image; `columns` then has `mask` and
    `score`. Columns that an older output does not have are null. `static` "repeat": static images
    have the masks of those that they repeat; parts that have such images are read as a whole.
    Raises UsageError as `read_masks` does.
    """
    for part in part_paths(path):
        with open_part(part, dictionaries=dictionaries) as (file, footer):
            present = file.schema_arrow.names
            later = [name for name in columns if name in LATER and name not in present]
            wanted = _known([name for name in columns if name not in later], present, part)
            if static == "repeat" and footer.static:
                batches = _repeated(file, wanted)
            else:
                batches = file.iter_batches(batch_size=_BATCH_ROWS, columns=wanted)
            for batch in batches:
                found = _with_nulls(batch, later) if later else batch
                yield found if min_score is None else _without_low_scores(found, min_score)


def _repeated(file: pq.ParquetFile, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    rows = file.read(columns=[*dict.fromkeys([*columns, *NEEDED])])
    yield from with_repeated(rows).select(list(columns)).to_batches(max_chunksize=_BATCH_ROWS)


def _with_nulls(batch: pa.RecordBatch, names: Sequence[str]) -> pa.RecordBatch:
    fields = {field.name: field for field in (*IMAGE_FIELDS, *MASK_FIELDS)}
    for name in names:
        nulls = pa.nulls(batch.num_rows, fields[name].type)
        batch = batch.append_column(fields[name], nulls)
    return batch


def _without_low_scores(batch: pa.RecordBatch, min_score: float) -> pa.RecordBatch:
    import pyarrow.compute as pc

    good = _wanted_rows(batch["score"], "score", min_score)
    return batch.filter(pc.or_(first_rows(batch["mask"]), good))


def _stream(
    paths: Sequence[Path], columns: Sequence[str] | None, judged: str, min_score: float | None
) -> Iterator[pa.RecordBatch]:
    """`judged` is the column that tells which rows are wanted."""
    for path in paths:
        with open_part(path) as (file, _):
            present = file.schema_arrow.names
            if columns is None:
                wanted = [n for n in present if judged == "score" or n not in MASK_COLUMNS]
            else:
                wanted = _known(columns, present, path)
            needed = list(dict.fromkeys([*wanted, judged]))
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=needed):
                rows = batch.filter(_wanted_rows(batch.column(judged), judged, min_score))
                if rows.num_rows:
                    yield rows.select(wanted)


def _wanted_rows(column: pa.Array, judged: str, min_score: float | None) -> pa.Array:
    import pyarrow.compute as pc  # here, for it takes long to load, and eval does without

    if judged == "mask":
        return first_rows(column)
    if min_score is None:
        return pc.is_valid(column)
    return pc.fill_null(pc.greater_equal(column, min_score), False)


def _known(columns: Sequence[str], present: Sequence[str], path: Path) -> list[str]:
    unknown = [name for name in columns if name not in present]
    if unknown:
        raise UsageError(
            f"{shown(path.parent)} has no column {unknown[0]!r}; its columns are: "
            f"{', '.join(present)}"
        )
    return list(columns)


def part_paths(path: Path) -> list[Path]:
    """The parts of an output in a stable order.

    Raises UsageError when `path` is missing, empty, not a directory of parts alone.
    """
    real = resolve(path)
    names = list_parts(real)
    if not names:
        what = "is empty" if real.exists() else "does not exist"
        out = shown(path)
        raise UsageError(
            f"{out} {what}; expected the output of a run: `segcli predict SOURCE` with "
            f"`out={out!r}`"
        )
    return [real / name for name in names]


def part_columns(path: Path) -> list[str]:
    """The names of the columns of an output, as its first part has them."""
    with open_part(part_paths(path)[0], whole=False) as (file, _):
        names: list[str] = file.schema_arrow.names
    return names


def read_settings(path: Path) -> dict[str, Any]:
    """The settings of the run that made an output, of any of its parts, in one flat dictionary.

    What the run recorded and compared, and `category_names`, `category_ids`, `key_prefix`.
    """
    footer = read_footer(part_paths(path)[0])
    return {
        **footer.settings.recorded,
        **footer.settings.compared,
        "key_prefix": footer.settings.key_prefix,
        "category_names": footer.category_names,
        "category_ids": footer.category_ids,
    }


def read_roots(path: Path) -> dict[str, list[str]]:
    """Where the images of an output came from: key prefix -> the source roots, sorted.

    One root each, unless an archive has moved (`same_source`).
    """
    roots: dict[str, set[str]] = {}
    for footer in read_footers(part_paths(path)):
        roots.setdefault(footer.settings.key_prefix, set()).update(footer.roots)
    return {prefix: sorted(found) for prefix, found in roots.items()}


def peek_carried(path: Path) -> dict[str, pa.DataType] | None:
    """The columns of an output that rode along from a source, by their names there; None when there
    is no output yet."""
    real = resolve(path)
    names = list_parts(real)
    if not names:
        return None
    with open_part(real / names[0]) as (file, _):
        columns = file.schema_arrow
    return {
        field.name.removeprefix(CARRIED_PREFIX): field.type
        for field in columns
        if field.name.startswith(CARRIED_PREFIX)
    }
