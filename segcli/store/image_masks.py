"""Read an output as images with their masks, for `viz`, `report` and `export`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from segcli.keys import path_from_key
from segcli.store.min_scores import MinScores
from segcli.store.part_reader import read_rows
from segcli.store.repeated import Static
from segcli.types import Size

COLUMNS = (
    *("key", "status", "height", "width", "frame", "time_s"),
    *("mask", "category_id", "category", "score", "bbox", "area", "rle"),
    *("mask_score", "keypoints", "zones", "track_id"),
)

Keypoints = tuple[tuple[float, float, float], ...]
"""(x, y, score) of each, px of the image."""


@dataclass(frozen=True, slots=True)
class Mask:
    """One object: `box` (x, y, w, h) and `area` in px of the image, `rle` COCO's compressed counts.

    `category_id` is the data set's own id. `score` is None for ground truth, `mask_score` and
    `keypoints` where the model finds none, `zones` where the run had none, `track_id` where it is
    in no track. `number` is that of the mask in its image.
    """

    category_id: int
    category: str
    score: float | None
    box: tuple[float, float, float, float]
    area: int
    rle: bytes
    mask_score: float | None = None
    keypoints: Keypoints | None = None
    zones: tuple[str, ...] | None = None
    track_id: int | None = None
    number: int = 0


@dataclass(frozen=True, slots=True)
class ImageMasks:
    """One image or frame of an output, `height` x `width` px, with its masks, best first.

    `frame` (index in the video) and `time_s` are None for stills. `taken` is when the image was
    taken or its video began, as the column `src_taken` states it.
    """

    key: str
    height: int
    width: int
    frame: int | None = None
    time_s: float | None = None
    masks: tuple[Mask, ...] = ()
    taken: str | None = None

    @property
    def size(self) -> Size:
        """(height, width) px."""
        return self.height, self.width

    @property
    def name(self) -> str:
        """The name in annotation files: the path below the source, or the key of a frame."""
        return path_from_key(self.key) if self.frame is None else self.key


def grouped(rows: Iterable[Mapping[str, Any]]) -> Iterator[ImageMasks]:
    """Images from rows with COLUMNS and `chosen`, which is true where the mask is wanted.

    The rows of one image follow one another.
    """
    for _, group in groupby(rows, key=itemgetter("key")):
        of_image = list(group)
        first = of_image[0]
        yield ImageMasks(
            first["key"],
            first["height"],
            first["width"],
            first["frame"],
            first["time_s"],
            tuple(mask_of(row) for row in of_image if row["chosen"]),
            first.get("taken"),
        )


def mask_of(row: Mapping[str, Any]) -> Mask:
    """The mask of a row; columns that an older output does not have are null."""
    box = row["bbox"]
    return Mask(
        category_id=row["category_id"],
        category=row["category"],
        score=row["score"],
        box=(box["x"], box["y"], box["w"], box["h"]),
        area=row["area"],
        rle=bytes(row["rle"]),
        mask_score=row["mask_score"],
        keypoints=_keypoints(row["keypoints"]),
        zones=None if row["zones"] is None else tuple(row["zones"]),
        track_id=row["track_id"],
        number=row["mask"],
    )


def _keypoints(found: list[dict[str, float]] | None) -> Keypoints | None:
    return None if found is None else tuple((p["x"], p["y"], p["score"]) for p in found)


def read_image_masks(
    path: Path,
    *,
    min_score: MinScores,
    categories: frozenset[str] | None = None,
    keys: frozenset[str] | None = None,
    static: Static = "repeat",
) -> Iterator[ImageMasks]:
    """The images of an output in its order, including those without masks, but not failed ones.

    `categories` None: masks of all; `keys` None: all images. `static` "ignore" leaves out static
    images, which "repeat" gives the masks of those that they repeat.
    Raises UsageError as `read_masks` does.
    """
    return grouped(_rows(path, min_score, categories, keys, static))


def _rows(
    path: Path,
    min_score: MinScores,
    categories: frozenset[str] | None,
    keys: frozenset[str] | None,
    static: Static,
) -> Iterator[dict[str, Any]]:
    for batch in read_rows(path, columns=COLUMNS, min_score=min_score.lowest, static=static):
        for row in batch.to_pylist():
            if row["status"] != "ok" or (keys is not None and row["key"] not in keys):
                continue
            name = row["category"]
            row["chosen"] = (
                row["mask"] is not None
                and (categories is None or name in categories)
                and row["score"] >= min_score.of(name)
            )
            yield row
