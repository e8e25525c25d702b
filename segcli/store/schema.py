"""The schema of every part, and the conversion of records to rows."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import pyarrow as pa

from segcli.types import Record, Segment

SCHEMA_VERSION = 3
"""An output is continued in the version it was begun with, without the columns of later ones."""

_SINCE = dict.fromkeys(("repeats", "view", "mask_score", "track_id", "zones", "keypoints"), 3)
_SINCE["warning"] = 2

LATER = frozenset(_SINCE)
"""Columns that older outputs do not have; there, readers find nothing in them."""

CARRIED_PREFIX = "src_"

Categories = tuple[Sequence[str], Sequence[int]]
"""(names, ids) of the model, both indexed by `Segment.label`."""

_BBOX = pa.struct([(side, pa.float64()) for side in ("x", "y", "w", "h")])
_VIEW = pa.struct(
    [*((value, pa.float32()) for value in ("light", "contrast", "detail")), ("hash", pa.int64())]
)
_KEYPOINT = pa.struct([(value, pa.float64()) for value in ("x", "y", "score")])


def _list_of(kind: pa.DataType) -> pa.DataType:
    """With the name that Parquet gives to what is in a list, so that the type reads back equal."""
    return pa.list_(pa.field("element", kind))


IMAGE_FIELDS = (
    pa.field("key", pa.string()),
    pa.field("status", pa.string()),
    pa.field("error", pa.string()),
    pa.field("height", pa.int32()),
    pa.field("width", pa.int32()),
    pa.field("masks", pa.int32()),
    pa.field("size_bytes", pa.int64()),
    pa.field("mtime_ns", pa.int64()),
    pa.field("frame", pa.int64()),
    pa.field("time_s", pa.float64()),
    pa.field("warning", pa.string()),
    pa.field("repeats", pa.string()),
    pa.field("view", _VIEW),
)
MASK_FIELDS = (
    pa.field("mask", pa.int32()),
    pa.field("category_id", pa.int32()),
    pa.field("category", pa.string()),
    pa.field("score", pa.float64()),
    pa.field("bbox", _BBOX),
    pa.field("area", pa.int64()),
    pa.field("rle", pa.binary()),
    pa.field("mask_score", pa.float64()),
    pa.field("track_id", pa.int64()),
    pa.field("zones", _list_of(pa.string())),
    pa.field("keypoints", _list_of(_KEYPOINT)),
)
MASK_COLUMNS = tuple(f.name for f in MASK_FIELDS)


class _NoPandas:
    """An importer that does not find it."""

    @staticmethod
    def find_spec(name: str, path: object, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("not wanted here", name=name)


def get_ready() -> None:
    """Load now what the first part needs, and not pandas, which pyarrow looks for by itself.

    For a process that is ours alone: pyarrow will take pandas for missing. Without it the first
    part of each worker would take 0.3 s more, and 40 MB.
    """
    sys.meta_path.insert(0, _NoPandas)
    try:
        pa.array([0]).take(pa.array([0]))  # which loads pyarrow.compute
    finally:
        sys.meta_path.remove(_NoPandas)


def schema(carried: Mapping[str, pa.DataType], version: int = SCHEMA_VERSION) -> pa.Schema:
    """Image columns, the manifest's own as `src_NAME`, then the mask columns."""
    own = [pa.field(CARRIED_PREFIX + name, _plain(kind)) for name, kind in carried.items()]
    fields = [*IMAGE_FIELDS, *own, *MASK_FIELDS]
    return pa.schema([f for f in fields if _SINCE.get(f.name, 1) <= version])


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type as it is stored: "dictionary" is an encoding of pages here, never a type.

    A column that is null throughout gets a type, because readers do not agree on the null type.
    """
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    if pa.types.is_list(kind):
        return _list_of(_plain(kind.value_type))
    return pa.string() if pa.types.is_null(kind) else kind


def column_differences(
    there: pa.Schema, now: pa.Schema, *, words: tuple[str, str] = ("there", "now")
) -> list[str]:
    """Readable; empty when parts of both schemas make one table. `words` follow the two types."""
    first, second = words
    names = [*now.names, *(n for n in there.names if n not in now.names)]
    pairs = [(name, _type_of(there, name), _type_of(now, name)) for name in names]
    found = [
        f"column {name}: {old} {first}, {new} {second}" for name, old, new in pairs if old != new
    ]
    if not found and there.names != now.names:
        found.append("the columns stand in another order")
    return found


def _type_of(columns: pa.Schema, name: str) -> str:
    return str(columns.field(name).type) if name in columns.names else "absent"


def table(records: Sequence[Record], columns: pa.Schema, categories: Categories) -> pa.Table:
    """One row per mask, and one row (mask columns null) per image without any; in given order."""
    counts = np.array([len(r.segments) for r in records], dtype=np.int64)
    image_of_row = pa.array(np.repeat(np.arange(len(records)), np.maximum(counts, 1)))
    images = _image_columns(records, columns)
    masks = _mask_columns(records, categories)
    if "mask_score" not in columns.names:  # the only score of a row was then that of the mask
        masks["score"] = pa.array([_rating(s) for r in records for s in r.segments], pa.float64())
    segment_of_row = _segment_of_row(counts)
    rows = [
        masks[f.name].take(segment_of_row) if f.name in masks else images[f.name].take(image_of_row)
        for f in columns
    ]
    return pa.table(rows, schema=columns)


def _segment_of_row(counts: np.ndarray) -> pa.Array:
    """Index into all segments for each row; null on the row of an image without any."""
    empty_row = np.repeat(counts == 0, np.maximum(counts, 1))
    index = np.cumsum(~empty_row) - 1
    return pa.array(index, mask=empty_row, type=pa.int64())


def _image_columns(records: Sequence[Record], columns: pa.Schema) -> dict[str, pa.Array]:
    """One value per record."""
    samples = [r.sample for r in records]
    values: dict[str, list[object]] = {
        "key": [s.key for s in samples],
        "status": [_status(r) for r in records],
        "error": [None if r.error is None else _text(r.error) for r in records],
        "warning": [_text("; ".join(r.warnings)) if r.warnings else None for r in records],
        "height": [r.height for r in records],
        "width": [r.width for r in records],
        "masks": [len(r.segments) if _status(r) == "ok" else None for r in records],
        "size_bytes": [s.size_bytes for s in samples],
        "mtime_ns": [s.mtime_ns for s in samples],
        "frame": [s.frame for s in samples],
        "time_s": [s.time_s for s in samples],
        "repeats": [r.repeats for r in records],
        "view": [None if r.view is None else asdict(r.view) for r in records],
    }
    for name in columns.names:
        if name.startswith(CARRIED_PREFIX):
            own = name.removeprefix(CARRIED_PREFIX)
            values[name] = [s.carried.get(own) for s in samples]
    return {
        name: pa.array(column, columns.field(name).type)
        for name, column in values.items()
        if name in columns.names
    }


def _status(record: Record) -> str:
    if record.error is not None:
        return "failed"
    return "ok" if record.repeats is None else "static"


def _text(reason: str) -> str:
    """A reason may quote a file name that is no valid text."""
    return reason.encode("utf-8", "backslashreplace").decode("utf-8")


def _mask_columns(records: Sequence[Record], categories: Categories) -> dict[str, pa.Array]:
    """One value per segment of all records."""
    segments = [s for r in records for s in r.segments]
    labels = pa.array([s.label for s in segments], pa.int64())
    names, ids = categories
    boxes = np.array([s.box for s in segments], dtype=np.float64).reshape(-1, 4)
    sides = [pa.array(np.ascontiguousarray(side)) for side in boxes.T]
    return {
        "mask": pa.array([i for r in records for i in range(len(r.segments))], pa.int32()),
        "category_id": pa.array(list(ids), pa.int32()).take(labels),
        "category": pa.array(list(names), pa.string()).take(labels),
        "score": pa.array([s.score for s in segments], pa.float64()),
        "bbox": pa.StructArray.from_arrays(sides, fields=list(_BBOX)),
        "area": pa.array([s.area for s in segments], pa.int64()),
        "rle": pa.array([s.rle for s in segments], pa.binary()),
        "mask_score": pa.array([s.mask_score for s in segments], pa.float64()),
        "track_id": pa.array([s.track_id for s in segments], pa.int64()),
        "zones": pa.array([s.zones for s in segments], _list_of(pa.string())),
        "keypoints": pa.array([_keypoints(s) for s in segments], _list_of(_KEYPOINT)),
    }


def _rating(segment: Segment) -> float:
    return segment.score if segment.mask_score is None else segment.mask_score


def _keypoints(segment: Segment) -> list[dict[str, float]] | None:
    if segment.keypoints is None:
        return None
    return [dict(zip(("x", "y", "score"), point, strict=True)) for point in segment.keypoints]
