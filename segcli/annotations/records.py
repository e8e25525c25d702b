"""Annotations as records of an output, the result of every reader for `segcli import`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segcli.annotations.columns import number
from segcli.annotations.paths import located
from segcli.errors import ImageError, UsageError
from segcli.images.probe import probe
from segcli.keypoints import Skeleton
from segcli.keys import key_from_path
from segcli.masks import rle
from segcli.plurals import with_count
from segcli.types import Record, Sample, Segment, Size

EMPTY = "{} masks without a pixel were left out"
CUT_OFF = "{} outlines extend beyond their image and were cut off; is its size right?"
SAME_PICTURE = "{} images occur more than once; their objects were merged"


@dataclass(slots=True)
class Annotations:
    """`categories` (names, ids); `records` to be gone through once.

    `skeletons`: the keypoints of categories that have some. `notes` counts what was left out or
    put together, by sentence with {} for the count; it is complete after the records.
    """

    root: str
    categories: tuple[tuple[str, ...], tuple[int, ...]]
    records: Iterator[Record]
    notes: Counter[str] = field(default_factory=Counter)
    scored: bool = False
    skeletons: Mapping[str, Skeleton] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.categories[0]:
            try:
                name.encode()
            except UnicodeEncodeError:
                raise UsageError(f"the category {name!r} is not text; rename it") from None

    def sentences(self) -> tuple[str, ...]:
        return tuple(with_count(text, count) for text, count in self.notes.items())


def segment(label: int, text: bytes, height: int, width: int, score: Any = 1.0) -> Segment:
    """Raises UsageError for a score that is not a number in [0, 1]."""
    score = number(score)
    if type(score) not in (int, float) or not 0 <= score <= 1:
        raise UsageError(f"its score {score!r} is outside [0, 1]")
    area = rle.area(text, height, width)
    return Segment(label, float(score), rle.to_box(text, height, width), area, text)


def record(
    name: str, height: int, width: int, segments: Sequence[Segment], notes: Counter[str]
) -> Record:
    """Best score first; masks without a pixel, which no row can have, are counted."""
    kept = [one for one in segments if one.area]
    if len(kept) < len(segments):
        notes[EMPTY] += len(segments) - len(kept)
    kept.sort(key=lambda one: -one.score)
    return Record(Sample(key_from_path(name), name), height, width, kept)


def require_same_size(name: str, sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """(height, width) that all descriptions of a picture agree on. Raises UsageError."""
    for size in sizes:
        if size != sizes[0]:
            shown = " and ".join(f"{tall} x {wide}" for tall, wide in (sizes[0], size))
            raise UsageError(f"{name!r} is annotated twice, as {shown} px; remove one of them")
    return sizes[0]


def leaves(x: Sequence[float], y: Sequence[float], height: int, width: int) -> bool:
    """Whether corners lie more than a pixel outside the image: more than rounding explains."""
    return min(x) < -1 or min(y) < -1 or max(x) > width + 1 or max(y) > height + 1


def size_of_picture(name: str, images: Path | None) -> Size:
    """(height, width) px of a picture whose annotations do not state it. Raises UsageError."""
    if images is None:
        raise UsageError(
            f"the annotations do not state the size of {name!r}; give their folder as `images` to "
            "read it from the image"
        )
    path = located(name, images)
    if path is None:
        raise UsageError(
            f"the annotations do not state the size of {name!r}, which is not in {images}"
        )
    try:
        header = probe((images / path).read_bytes(), key=path)
    except (OSError, ImageError) as error:
        raise UsageError(f"the size of {images / path} cannot be read: {error}") from None
    return header.height, header.width
