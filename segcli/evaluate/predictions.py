"""Predictions as columns: the rows of an output, or COCO results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from segcli.annotations.columns import Items, boxes, checked_objects, identities, load_json, numbers
from segcli.errors import UsageError
from segcli.evaluate.arrow import box, codes, joined, plain, texts, valid
from segcli.evaluate.keypoints import Points, points_of_results, points_of_rows
from segcli.keys import path_from_key
from segcli.masks.batch import Masks
from segcli.store import read_rows as read_batches
from segcli.store import read_settings, schema
from segcli.store.repeated import Static

_IMAGE = ["key", "error", "status", "height", "width", "frame"]
_MASK = ["mask", "category", "score", "bbox"]
_BY_MASK = ("segm", "boundary")  # comparisons for which the score of the mask counts


@dataclass(frozen=True, slots=True)
class Rows:
    """I images and D detections of an output, in its order.

    `names` are relative paths; `sizes` (I, 2) px, 0 of failed ones; `reasons` says why an image
    failed (None: it did not). `vocabulary`: names and ids of the categories that were looked for.
    Of the detections: `image`, `category` are indices, `scores` those of the masks where masks are
    compared and the model rates them, `boxes` (D, 4) xywh px, `masks` None unless
    they are compared, as `points`.
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
    points: Points | None
    default_score: float | None
    source_root: str | None


@dataclass(frozen=True, slots=True)
class Results:
    """D detections in COCO's results format: they name images and categories by their ids.

    `boxes` (D, 4) xywh px, of keypoints their extents, and `points` are there if they are compared;
    `items` are the objects themselves, for messages.
    """

    where: str
    image_ids: NDArray[Any]
    category_ids: NDArray[Any]
    scores: NDArray[np.float64]
    boxes: NDArray[np.float64] | None
    items: list[dict[str, Any]]
    points: Points | None = None


def read_found(path: Path, *, iou: str = "segm", static: Static = "repeat") -> Rows | Results:
    """An output of a run (a directory), or a file of COCO results. Raises UsageError."""
    if path.suffix.lower() == ".json" and not path.is_dir():
        return results_of(load_json(path), str(path), iou=iou)
    return read_rows(path, iou=iou, static=static)


def results_of(document: Any, where: str, *, iou: str = "segm") -> Results:
    """Raises UsageError with one sentence that names the detection at fault."""
    if isinstance(document, dict) and isinstance(document.get("annotations"), list):
        document = document["annotations"]
    if not isinstance(document, list):
        raise UsageError(f"{where} is not a COCO results file: expected a list of detections")
    items = checked_objects(document, where)
    scores = numbers(items, "score", "detection")
    outside = (scores < 0) | (scores > 1)
    if outside.any():
        at = int(np.flatnonzero(outside)[0])
        raise UsageError(
            f"detection at place {at} of {where}: its score {scores[at]} is outside [0, 1]"
        )
    # A box is checked also where masks are compared: what made a broken one made the mask.
    found = boxes(items, "bbox", "detection") if _boxed(items, iou) else None
    points = points_of_results(items) if iou == "keypoints" else None
    if points is not None:
        found = points.boxes()
    return Results(
        where,
        identities(items, "image_id", "detection"),
        identities(items, "category_id", "detection"),
        scores,
        None if iou in _BY_MASK else found,
        items,
        points,
    )


def _boxed(items: Items, iou: str) -> bool:
    return iou == "bbox" or (len(items) > 0 and all(item.get("bbox") for item in items))


def read_rows(path: Path, *, iou: str = "segm", static: Static = "repeat") -> Rows:
    """All rows, down to the lowest score that was kept. `static` "ignore" leaves out static images,
    which "repeat" gives the masks of those that they repeat. Raises UsageError."""
    columns = _IMAGE + _MASK + (["rle", "mask_score"] if iou in _BY_MASK else [])
    columns += ["keypoints"] if iou == "keypoints" else []
    coded = ["key", "status", "category"]
    try:
        found = read_batches(path, columns=columns, dictionaries=coded, static=static)
        batches = list(found if static == "repeat" else map(_without_static, found))
        for batch in batches:
            _require_types(batch, path)
        return _rows(path, batches, iou)
    except UnicodeDecodeError:
        raise UsageError(f"{path} has text that is not UTF-8; a part must be damaged") from None
    except KeyError as error:  # Arrow's, of a column that shall be a dictionary
        raise UsageError(f"{path} has a part without the column {error}; it is damaged") from None


def _without_static(batch: pa.RecordBatch) -> pa.RecordBatch:
    states = batch["status"].dictionary.to_pylist()
    if "static" not in states:
        return batch
    return batch.filter(pa.array(codes(batch["status"]) != states.index("static")))


def _require_types(batch: pa.RecordBatch, path: Path) -> None:
    """The buffers are read as what they should hold, so they must hold it."""
    expected = schema({})
    for field in batch.schema:
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if kind != expected.field(field.name).type:
            raise UsageError(
                f"{path}: the column {field.name} is of the type {kind}, expected "
                f"{expected.field(field.name).type}: another program must have rewritten it"
            )


def _rows(path: Path, batches: Sequence[pa.RecordBatch], iou: str) -> Rows:
    settings = read_settings(path)
    first = [~valid(b["mask"]) | (plain(b["mask"], np.int32) == 0) for b in batches]
    found = [valid(b["score"]) for b in batches]
    keys = [key for b, rows in zip(batches, first, strict=True) for key in texts(b["key"], rows)]
    vocabulary = _vocabulary(settings)
    image = _indices("key", keys, zip(batches, found, strict=True), path)
    numbers = joined(
        [plain(b["mask"], np.int32)[own] for b, own in zip(batches, found, strict=True)]
    )
    scores = joined([_scores(b, iou)[own] for b, own in zip(batches, found, strict=True)])
    around = joined([box(b["bbox"])[rows] for b, rows in zip(batches, found, strict=True)], wide=4)
    _require_sane(scores, around, [keys[i] for i in image.tolist()], numbers)
    still = [~valid(b["frame"])[rows] for b, rows in zip(batches, first, strict=True)]
    names = [name for name, _ in vocabulary]
    points = points_of_rows(batches, found, str(path)) if iou == "keypoints" else None
    return Rows(
        where=str(path),
        keys=tuple(keys),
        names=tuple(
            _path(key) if alone else key
            for key, alone in zip(keys, joined(still).tolist(), strict=True)
        ),
        sizes=np.stack([_whole(side, batches, first) for side in ("height", "width")], 1),
        reasons=tuple(_reasons(batches, first)),
        vocabulary=vocabulary,
        image=image,
        category=_indices("category", names, zip(batches, found, strict=True), path),
        scores=scores,
        boxes=around if points is None else points.boxes(),
        masks=_masks(batches, found) if iou in _BY_MASK else None,
        points=points,
        default_score=settings.get("default_score"),
        source_root=settings.get("source_root"),
    )


def _scores(batch: pa.RecordBatch, iou: str) -> NDArray[np.float64]:
    """By which the detections are ranked."""
    scores = plain(batch["score"], np.float64)
    if iou not in _BY_MASK:
        return scores
    own = batch["mask_score"]
    return np.where(valid(own), plain(own, np.float64), scores)


def _vocabulary(settings: dict[str, Any]) -> tuple[tuple[str, int], ...]:
    """What the model knows, or what --categories left of it."""
    pairs = tuple(zip(settings["category_names"], settings["category_ids"], strict=True))
    asked = settings.get("categories")
    return pairs if not asked else tuple(pair for pair in pairs if pair[0] in set(asked))


def _path(key: str) -> str:
    if "\\" not in key and "#" not in key:  # nothing in it is escaped
        return key
    try:
        return path_from_key(key)
    except ValueError:
        return key


def _indices(
    column: str,
    among: Sequence[str],
    parts: Iterable[tuple[pa.RecordBatch, NDArray[np.bool_]]],
    path: Path,
) -> NDArray[np.int64]:
    """Where the text of each row that counts stands in `among`. Raises UsageError for another."""
    place = {text: i for i, text in enumerate(among)}
    found = []
    for batch, rows in parts:
        coded = batch[column]
        known = [place.get(text, -1) for text in coded.dictionary.to_pylist()]
        index = np.array([*known, -1], np.int64)[codes(coded)[rows]]
        if (index < 0).any():
            value = texts(coded, np.flatnonzero(rows)[index < 0][:1])[0]
            raise UsageError(
                f"{path}: a mask of the {column} {value!r}, which the output does not list"
            )
        found.append(index)
    return joined(found).astype(np.int64)


def _require_sane(
    scores: NDArray[np.float64],
    around: NDArray[np.float64],
    keys: Sequence[str],
    numbers: NDArray[np.int32],
) -> None:
    bad = ~((scores >= 0) & (scores <= 1)) | ~np.isfinite(around).all(1)
    bad |= (around[:, 2:] < 0).any(1)
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        raise UsageError(
            f"mask {numbers[at]} of {keys[at]!r} has the score {scores[at]} and the box "
            f"{around[at].tolist()}; expected a score in [0, 1] and finite px"
        )


def _whole(
    side: str, batches: Sequence[pa.RecordBatch], rows: Sequence[NDArray[np.bool_]]
) -> NDArray[np.int64]:
    """0 where there is none."""
    found = [
        np.where(valid(b[side]), plain(b[side], np.int32), 0)[own]
        for b, own in zip(batches, rows, strict=True)
    ]
    return joined(found).astype(np.int64)


def _reasons(
    batches: Sequence[pa.RecordBatch], rows: Sequence[NDArray[np.bool_]]
) -> Iterator[str | None]:
    """Why an image failed; None where it did not."""
    for batch, own in zip(batches, rows, strict=True):
        for row, status in zip(
            np.flatnonzero(own).tolist(), texts(batch["status"], own), strict=True
        ):
            if status == "static":
                yield "static, and the image that it repeats has no rows"
            else:
                yield None if status == "ok" else batch["error"][row].as_py() or "failed"


def _masks(batches: Sequence[pa.RecordBatch], rows: Sequence[NDArray[np.bool_]]) -> Masks:
    """The texts straight from Arrow's buffers; rows without a mask have none."""
    data, lengths = [np.zeros(0, np.uint8)], [np.zeros(1, np.int64)]
    for batch, own in zip(batches, rows, strict=True):
        chunk = batch["rle"]
        _, cuts, text = chunk.buffers()
        offsets = np.frombuffer(cuts, np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
        length = np.diff(offsets).astype(np.int64)
        if text is not None:
            part = np.frombuffer(text, np.uint8)[offsets[0] : offsets[-1]]
            foreign = length[~own].any()  # an RLE in a row that is no mask
            data.append(part[np.repeat(own, length)] if foreign else part)
        lengths.append(length[own])
    return Masks(np.concatenate(data), np.cumsum(np.concatenate(lengths)))
