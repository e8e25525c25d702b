"""What a model found: the rows of an output, or COCO results, as columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from segcli.errors import UsageError
from segcli.evaluate.columns import boxes, checked_objects, integers, load_json, numbers
from segcli.evaluate.masks import Masks
from segcli.shard import read_facts, read_images, read_masks, schema
from segcli.source.key import path_from_key


@dataclass(frozen=True, slots=True)
class Rows:
    """I images and D detections of an output, in its order.

    `names` are relative paths; `sizes` (I, 2) px, 0 of failed ones; `reasons` says why an image
    failed (None: it did not). `vocabulary`: names and ids of the categories that were looked for.
    Of the detections: `image`, `category` are indices, `boxes` (D, 4) xywh px, `masks` None when
    only boxes are compared.
    """

    where: str
    keys: tuple[str, ...]
    names: tuple[str, ...]
    sizes: NDArray[np.int64]
    reasons: tuple[str | None, ...]
    vocabulary: tuple[tuple[str, int], ...]
    image: NDArray[np.int64]
    category: NDArray[np.int64]
    scores: NDArray[np.float64]
    boxes: NDArray[np.float64]
    masks: Masks | None
    default_score: float | None
    source_root: str | None


@dataclass(frozen=True, slots=True)
class Results:
    """D detections in COCO's results format: they name images and categories by their ids.

    `boxes` (D, 4) xywh px and `outlines` as they came: which of them is there is for `--iou` to
    ask; `items` are the objects themselves, for messages.
    """

    where: str
    image_ids: NDArray[np.int64]
    category_ids: NDArray[np.int64]
    scores: NDArray[np.float64]
    boxes: NDArray[np.float64] | None
    items: list[dict[str, Any]]


def read_found(path: Path, *, iou: str = "segm") -> Rows | Results:
    """An output of a run (a directory), or a file of COCO results. Raises UsageError."""
    if path.suffix.lower() == ".json" and not path.is_dir():
        return results_of(load_json(path), str(path), iou=iou)
    return read_rows(path, iou=iou)


def results_of(document: Any, where: str, *, iou: str = "segm") -> Results:
    """Raises UsageError with one sentence that names the detection at fault."""
    if isinstance(document, dict) and isinstance(document.get("annotations"), list):
        document = document["annotations"]
    if not isinstance(document, list):
        raise UsageError(f"{where} is no COCO results: expected a list of detections")
    items = checked_objects(document, where)
    scores = numbers(items, "score", "detection")
    outside = (scores < 0) | (scores > 1)
    if outside.any():
        at = int(np.flatnonzero(outside)[0])
        raise UsageError(
            f"detection at place {at} of {where}: its score {scores[at]} is outside [0, 1]"
        )
    return Results(
        where,
        integers(items, "image_id", "detection"),
        integers(items, "category_id", "detection"),
        scores,
        boxes(items, "bbox", "detection") if iou == "bbox" else None,
        items,
    )


def read_rows(path: Path, *, iou: str = "segm") -> Rows:
    """All rows, down to the lowest score that was kept. Raises UsageError."""
    facts = read_facts(path)
    images = _table(
        read_images(path, columns=["key", "error", "status", "height", "width", "frame"])
    )
    keys = images["key"].to_pylist()
    vocabulary = _vocabulary(facts)
    columns = ["key", "mask", "category", "score", "bbox"] + (["rle"] if iou != "bbox" else [])
    masks = _table(read_masks(path, columns=columns), columns)
    image = _indices(masks["key"], keys)
    category = _indices(masks["category"], [name for name, _ in vocabulary])
    _require_known(image, masks["key"], path, "key")
    _require_known(category, masks["category"], path, "category")
    scores = np.concatenate(
        [np.zeros(0), *(_plain(chunk, np.float64) for chunk in masks["score"].chunks)]
    )
    around = _boxes(masks["bbox"])
    _require_sane(scores, around, masks["key"], masks["mask"])
    failed = [status != "ok" for status in images["status"].to_pylist()]
    return Rows(
        where=str(path),
        keys=tuple(keys),
        names=_names(keys, images["frame"].to_pylist()),
        sizes=np.stack([_whole(images[side]) for side in ("height", "width")], 1),
        reasons=tuple(
            (reason or "failed") if bad else None
            for bad, reason in zip(failed, images["error"].to_pylist(), strict=True)
        ),
        vocabulary=vocabulary,
        image=image,
        category=category,
        scores=scores,
        boxes=around,
        masks=_masks(masks["rle"]) if iou != "bbox" else None,
        default_score=facts.get("default_score"),
        source_root=facts.get("source_root"),
    )


def _table(batches: Iterable[pa.RecordBatch], columns: Sequence[str] = ()) -> pa.Table:
    kept = list(batches)
    if kept:
        return pa.Table.from_batches(kept)
    whole = schema({})
    return pa.schema([whole.field(name) for name in columns]).empty_table()


def _vocabulary(facts: dict[str, Any]) -> tuple[tuple[str, int], ...]:
    """What the model knows, or what --categories left of it."""
    pairs = tuple(zip(facts["category_names"], facts["category_ids"], strict=True))
    asked = facts.get("categories")
    return pairs if not asked else tuple(pair for pair in pairs if pair[0] in set(asked))


def _names(keys: Sequence[str], frames: Sequence[int | None]) -> tuple[str, ...]:
    """Relative paths as they are on disk; a frame of a video keeps its number."""
    return tuple(
        _path(key) if frame is None else key for key, frame in zip(keys, frames, strict=True)
    )


def _path(key: str) -> str:
    if "\\" not in key and "#" not in key:  # nothing in it is escaped
        return key
    try:
        return path_from_key(key)
    except ValueError:
        return key


def _indices(values: pa.ChunkedArray, among: Sequence[str]) -> NDArray[np.int64]:
    """Where each value stands in `among`; -1 for an unknown one."""
    # Nothing is turned into Arrow here: that would import pandas where there is one, half a second.
    place = {name: i for i, name in enumerate(among)}
    parts = [np.zeros(0, np.int64)]
    for chunk in values.chunks:
        coded = chunk.dictionary_encode()
        known = [place.get(name, -1) for name in coded.dictionary.to_pylist()]
        parts.append(np.array(known, np.int64)[_plain(coded.indices, np.int32)])
    return np.concatenate(parts)


def _require_known(index: NDArray[np.int64], values: Any, path: Path, what: str) -> None:
    if (index < 0).any():
        value = values[int(np.flatnonzero(index < 0)[0])].as_py()
        raise UsageError(f"{path}: a mask of the {what} {value!r}, which the output does not list")


def _require_sane(
    scores: NDArray[np.float64], around: NDArray[np.float64], keys: Any, numbers: Any
) -> None:
    bad = ~((scores >= 0) & (scores <= 1)) | ~np.isfinite(around).all(1)
    bad |= (around[:, 2:] < 0).any(1)
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        raise UsageError(
            f"mask {numbers[at].as_py()} of {keys[at].as_py()!r} has the score {scores[at]} and "
            f"the box {around[at].tolist()}; expected a score in [0, 1] and finite px"
        )


def _boxes(column: pa.ChunkedArray) -> NDArray[np.float64]:
    parts = [
        np.stack([_plain(chunk.field(side), np.float64) for side in "xywh"], 1)
        for chunk in column.chunks
    ]
    return np.concatenate(parts) if parts else np.zeros((0, 4))


def _whole(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """0 where there is none."""
    return np.array([value or 0 for value in column.to_pylist()], np.int64)


def _plain(array: pa.Array, kind: type[np.generic]) -> NDArray[Any]:
    """The values of an array without nulls, as they lie in memory (see `_indices`)."""
    values = np.frombuffer(array.buffers()[1], kind)
    return values[array.offset : array.offset + len(array)]


def _masks(column: pa.ChunkedArray) -> Masks:
    """The texts straight from Arrow's buffers."""
    data, lengths = [], [np.zeros(1, np.int64)]
    for chunk in column.chunks:
        _, cuts, text = chunk.buffers()
        offsets = np.frombuffer(cuts, np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
        if text is not None:
            data.append(np.frombuffer(text, np.uint8)[offsets[0] : offsets[-1]])
        lengths.append(np.diff(offsets).astype(np.int64))
    whole = np.concatenate(data) if data else np.zeros(0, np.uint8)
    return Masks(whole, np.cumsum(np.concatenate(lengths)))
