"""The images of an output one after another, each with its masks; memory is one image's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import groupby
from pathlib import Path
from typing import Any

from segcli.errors import UsageError
from segcli.keys import path_from_key
from segcli.store import MinScores, min_scores, read_images, read_masks, read_settings
from segcli.suggest import did_you_mean

_IMAGE = ["key", "status", "height", "width", "frame"]
_MASK = ["key", "category", "score", "bbox", "area", "rle"]


@dataclass(frozen=True, slots=True)
class Mask:
    """One object: `label` indexes the categories; `box` (x, y, w, h) px; `rle` COCO's counts."""

    label: int
    score: float
    box: tuple[float, float, float, float]
    area: int
    rle: bytes


@dataclass(frozen=True, slots=True)
class Picture:
    """One image: `id` counts from 1 in the order of the output; `name` is its relative path."""

    id: int
    key: str
    name: str
    height: int
    width: int
    masks: tuple[Mask, ...] = ()


@dataclass(frozen=True, slots=True)
class Selection:
    """What of an output is exported, to be gone through as often as a format needs.

    `categories` (name, id) of the run, numbered anew from 1 where it has an id below that;
    `wanted` those of them that are exported.
    """

    path: Path
    categories: tuple[tuple[str, int], ...]
    wanted: frozenset[str]
    min_score: MinScores
    key: str | None = None

    def pictures(self) -> Iterator[Picture]:
        """Images without their masks; failed ones, whose size is not known, are left out."""
        number = 0
        for batch in read_images(self.path, columns=_IMAGE):
            for row in batch.to_pylist():
                if row["status"] != "ok" or not self._matches(row["key"]):
                    continue
                number += 1
                name = _name(row["key"], row["frame"])
                yield Picture(number, row["key"], name, row["height"], row["width"])

    def with_masks(self) -> Iterator[Picture]:
        """The same with their masks, best first; those without any are there as well."""
        label = {name: i for i, (name, _) in enumerate(self.categories)}
        groups = groupby(self._rows(), key=lambda row: row["key"])
        key, rows = next(groups, (None, iter(())))
        for picture in self.pictures():
            masks: tuple[Mask, ...] = ()
            if key == picture.key:
                masks = tuple(_mask(row, label) for row in rows)
                key, rows = next(groups, (None, iter(())))
            yield Picture(
                picture.id, picture.key, picture.name, picture.height, picture.width, masks
            )

    def _rows(self) -> Iterator[dict[str, Any]]:
        for batch in read_masks(self.path, columns=_MASK, min_score=self.min_score.lowest):
            for row in batch.to_pylist():
                category = row["category"]
                if category not in self.wanted or row["score"] < self.min_score.of(category):
                    continue
                if self._matches(row["key"]):
                    yield row

    def _matches(self, key: str) -> bool:
        return self.key is None or fnmatchcase(key, self.key)


def select(
    path: Path,
    *,
    min_score: float | None = None,
    categories: Sequence[str] | None = None,
    key: str | None = None,
) -> Selection:
    """`min_score` None: the model's default scores. Raises UsageError for unknown categories."""
    facts = read_settings(path)
    ids = facts["category_ids"]
    if min(ids, default=1) < 1:  # several tools take 0 for the background
        ids = range(1, len(ids) + 1)
    known = tuple(zip(facts["category_names"], ids, strict=True))
    names = [name for name, _ in known]
    for name in categories or ():
        if name not in names:
            raise UsageError(
                f"--categories: {path} knows no {name!r}; it knows: {', '.join(names[:20])}"
                f"{did_you_mean(name, names)}"
            )
    lowest = min_scores(facts, min_score)
    return Selection(path, known, frozenset(categories or names), lowest, key)


def _mask(row: dict[str, Any], label: dict[str, int]) -> Mask:
    box = row["bbox"]
    return Mask(
        label[row["category"]],
        row["score"],
        (box["x"], box["y"], box["w"], box["h"]),
        row["area"],
        row["rle"],
    )


def _name(key: str, frame: int | None) -> str:
    return path_from_key(key) if frame is None else key
