"""COCO JSON as records, for `segcli import`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from segcli.annotations.coco import parse_coco
from segcli.annotations.columns import load_json, name_of, number
from segcli.annotations.ground_truth import GroundTruth
from segcli.annotations.label_maps import merged, require_distinct_names
from segcli.annotations.outlines import to_rle
from segcli.annotations.paths import located, picture_name
from segcli.annotations.records import (
    CUT_OFF,
    SAME_PICTURE,
    Annotations,
    leaves,
    record,
    require_same_size,
    segment,
    size_of_picture,
)
from segcli.errors import UsageError
from segcli.types import Record, Segment

_CROWD = "{} crowd regions were left out"
_NO_MASK = "{} annotations without a mask were left out"
_NEW_IDS = "{} categories got new ids, counted from 1: an output has whole numbers"


def read_coco_records(
    path: Path, *, images: Path | None = None, merge_categories: bool = False
) -> Annotations:
    """Raises UsageError, also while the records are gone through, naming the annotation.

    `images` is the folder of the pictures, if it is known: their names are those of files there
    where these can be found, and sizes that the file lacks are theirs.
    """
    document = load_json(path)
    truth = parse_coco(
        document,
        str(path),
        need_masks=False,
        lenient=True,
        size_of=lambda name: size_of_picture(name, images),
    )
    if merge_categories:
        truth = merged(truth)
    require_distinct_names(truth, truth.category_names)
    items = truth.annotations
    notes = Counter(dict.fromkeys(truth.notes, 1))
    ids = truth.category_ids.tolist()
    if not all(type(one) is int and abs(one) < 2**31 for one in ids):
        notes[_NEW_IDS] = len(ids)
        ids = [*range(1, len(ids) + 1)]
    info = document.get("info")
    ours = isinstance(info, dict) and str(info.get("description")).startswith("written by segcli")
    found = Annotations(
        str(path.resolve()),
        (truth.category_names, tuple(ids)),
        iter(()),
        notes,
        scored=any("score" in item for item in items),
        skeletons={
            name: one
            for name, one in zip(truth.category_names, truth.skeletons, strict=True)
            if one is not None
        },
    )
    found.records = _records(truth, _by_name(truth, images, notes, literal=ours), items, notes)
    return found


def _by_name(
    truth: GroundTruth, images: Path | None, notes: Counter[str], *, literal: bool
) -> dict[str, list[int]]:
    """The images of each picture, which may be listed under several ids."""
    pictures: dict[str, list[int]] = {}
    for i, given in enumerate(truth.names):
        name = given or str(truth.image_ids[i])
        if not literal:
            there = None if images is None else located(name, images, notes)
            name = there or picture_name(name)
        pictures.setdefault(name, []).append(i)
    return pictures


def _records(
    truth: GroundTruth,
    pictures: Mapping[str, list[int]],
    items: Sequence[Mapping[str, Any]],
    notes: Counter[str],
) -> Iterator[Record]:
    order = np.argsort(truth.image, kind="stable")
    cuts = np.searchsorted(truth.image[order], np.arange(len(truth.names) + 1)).tolist()
    for name, own in pictures.items():
        sizes = [(tall, wide) for tall, wide in truth.sizes[own].tolist()]
        height, width = require_same_size(name, sizes)
        if len(own) > 1:
            notes[SAME_PICTURE] += 1
        there = [i for at in own for i in order[cuts[at] : cuts[at + 1]].tolist()]
        segments = (_segment(truth, i, (height, width), items, notes) for i in there)
        yield record(name, height, width, [one for one in segments if one is not None], notes)


def _segment(
    truth: GroundTruth,
    i: int,
    size: tuple[int, int],
    items: Sequence[Mapping[str, Any]],
    notes: Counter[str],
) -> Segment | None:
    outline = truth.outlines[i]
    if isinstance(outline, list) and any(leaves(p[::2], p[1::2], *size) for p in outline):
        notes[CUT_OFF] += 1
    if truth.crowd[i] or outline is None:
        notes[_CROWD if truth.crowd[i] else _NO_MASK] += 1
        return None
    score = items[i].get("score")
    try:
        text = to_rle(outline, *size)
        found = segment(int(truth.category[i]), text, *size, 1.0 if score is None else score)
        rated = items[i].get("mask_score")
        if rated is not None:
            rated = segment(found.label, text, *size, rated).score
        track = items[i].get("track_id")
        return replace(
            found,
            mask_score=rated,
            track_id=track if type(track) is int and abs(track) < 2**63 else None,
            keypoints=_keypoints(truth, i, items[i]),
        )
    except UsageError as error:
        raise UsageError(f"{name_of(items, i, 'annotation')}: {error}") from None


def _keypoints(
    truth: GroundTruth, i: int, item: Mapping[str, Any]
) -> tuple[tuple[float, float, float], ...] | None:
    """With their scores where the file has them, as `segcli export` writes them; otherwise 1 for
    annotated ones, hidden or not, and 0 for the others."""
    points = truth.keypoints[i]
    if points is None:
        return None
    scores = item.get("keypoint_scores")
    if not isinstance(scores, list) or len(scores) != len(points):
        scores = (points[:, 2] > 0).tolist()
    places = zip(points.tolist(), map(number, scores), strict=True)
    return tuple((x, y, _share(score)) for (x, y, _), score in places)


def _share(score: Any) -> float:
    """Raises UsageError for a score that is not a number in [0, 1]."""
    if not isinstance(score, int | float) or not 0 <= score <= 1:
        raise UsageError(f"its keypoint_scores have {score!r}; expected numbers in [0, 1]")
    return float(score)
