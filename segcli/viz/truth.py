"""Comparison with ground truth: correct, false and missed objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.annotations.coco import read_coco
from segcli.annotations.ground_truth import GroundTruth
from segcli.annotations.label_maps import merged, pair_categories
from segcli.annotations.outlines import to_rle
from segcli.annotations.pairing import pair_images
from segcli.errors import UsageError
from segcli.keys import path_from_key
from segcli.masks import rle
from segcli.store import read_images, read_settings
from segcli.store.image_masks import Keypoints, Mask
from segcli.types import Size
from segcli.viz.patch import Patch, patch_of
from segcli.viz.picture import ShownMask

_IOU = 0.5
"""The minimum overlap of two masks of the same object; the first of COCO's ten thresholds."""


@dataclass(frozen=True, slots=True)
class Truth:
    """Ground truth paired with the rows of an output as `segcli eval` pairs them.

    `images`: key -> index of the image. `categories`: index of each category that counts -> its
    (id, name) in the output. `order` are the objects by image, cut at `cuts`.
    """

    known: GroundTruth
    images: Mapping[str, int]
    categories: Mapping[int, tuple[int, str]]
    order: NDArray[np.int64]
    cuts: NDArray[np.int64]

    def objects(self, key: str, size: Size) -> tuple[list[Mask], list[Mask]] | None:
        """(objects, crowds) of an image of `size` (H, W) px; None when it is not annotated.

        Raises UsageError when the ground truth has another size for it.
        """
        at = self.images.get(key)
        if at is None:
            return None
        tall, wide = self.known.sizes[at].tolist()
        if (tall, wide) != size:
            raise UsageError(
                f"--gt: the image is {tall} x {wide} px there, and {size[0]} x {size[1]} px in the "
                "output"
            )
        objects: list[Mask] = []
        crowds: list[Mask] = []
        for i in self.order[self.cuts[at] : self.cuts[at + 1]].tolist():
            outline, own = self.known.outlines[i], self.categories.get(int(self.known.category[i]))
            if own is not None and outline is not None:
                counts = to_rle(outline, *size)
                area = rle.area(counts, *size)
                box = rle.to_box(counts, *size)
                mask = Mask(*own, None, box, area, counts, keypoints=self._keypoints(i))
                (crowds if self.known.crowd[i] else objects).append(mask)
        return objects, crowds

    def _keypoints(self, i: int) -> Keypoints | None:
        """Annotated ones, hidden or not, with the score 1."""
        own = self.known.keypoints[i]
        return None if own is None else tuple((x, y, float(v > 0)) for x, y, v in own.tolist())

    def counts(self, mask: Mask) -> bool:
        """Whether objects of its category are compared."""
        return any(mask.category == name for _, name in self.categories.values())


def read_truth(
    path: Path, masks: Path, *, only: Sequence[str] = (), counted: Sequence[str] | None = None
) -> Truth:
    """Pair the ground truth at `path` with the output `masks`. Raises UsageError.

    `only`: categories of the output that are drawn (empty: all). `counted`: those of the ground
    truth that an evaluation compared (None: those that the output knows).
    """
    try:
        known = merged(read_coco(path, need_masks=False, lenient=True))
    except UsageError as error:
        raise UsageError(f"--gt {path}: {error}") from None
    keys = [
        (row["key"], row["frame"])
        for batch in read_images(masks, columns=["key", "frame"])
        for row in batch.to_pylist()
    ]
    pairs = pair_images(known.names, [_name(key, frame) for key, frame in keys])
    settings = read_settings(masks)
    vocabulary = [*zip(settings["category_names"], settings["category_ids"], strict=True)]
    if asked := settings.get("categories"):
        vocabulary = [pair for pair in vocabulary if pair[0] in asked]
    paired = pair_categories(known, vocabulary).truth.tolist()
    own = {at: (number, name) for at, (name, number) in zip(paired, vocabulary, strict=True)}
    if counted is not None:
        own = {
            i: own.get(i, (0, name))
            for i, name in enumerate(known.category_names)
            if name in set(counted)
        }
    order = np.argsort(known.image, kind="stable")
    return Truth(
        known,
        {keys[row][0]: i for i, row in enumerate(pairs.row.tolist()) if row >= 0},
        {i: pair for i, pair in own.items() if i >= 0 and (not only or pair[1] in only)},
        order,
        np.searchsorted(known.image[order], np.arange(len(known.names) + 1)),
    )


def _name(key: str, frame: int | None) -> str:
    """As an evaluation compares it with the names of the ground truth."""
    if frame is not None:
        return key
    try:
        return path_from_key(key)
    except ValueError:
        return key


def judged(
    found: Sequence[Mask], truth: Sequence[Mask], crowds: Sequence[Mask], size: Size
) -> list[ShownMask]:
    """What was found as "true" or "false", and what it lacks as "missed".

    As COCO matches: best score first, each to the unmatched object of its category that it
    overlaps most, by at least 0.5 of their union. What lies mostly in a crowd is left away.
    """
    there = [patch_of(mask.rle, size, size) for mask in truth]
    regions = [patch_of(mask.rle, size, size) for mask in crowds]
    free = set(range(len(truth)))
    out: list[ShownMask] = []
    for mask in sorted(found, key=lambda mask: -(mask.score or 0)):
        patch = patch_of(mask.rle, size, size)
        rivals = [i for i in free if truth[i].category == mask.category]
        best = max(rivals, key=lambda i: overlap(patch, there[i]), default=None)
        if best is not None and overlap(patch, there[best]) >= _IOU:
            free.remove(best)
            out.append(ShownMask(mask, "true"))
        elif not _in_crowd(mask, patch, zip(crowds, regions, strict=True)):
            out.append(ShownMask(mask, "false"))
    return [*out, *(ShownMask(truth[i], "missed") for i in sorted(free))]


def verdicts(truth: Sequence[Mask], shown: Sequence[ShownMask]) -> list[ShownMask]:
    """The ground truth in the colours of what was found: `shown` is what `judged` made of it."""
    missed = {id(item.mask) for item in shown if item.verdict == "missed"}
    return [ShownMask(mask, "missed" if id(mask) in missed else "true") for mask in truth]


def overlap(one: Patch, other: Patch) -> float:
    """Intersection over union of two masks."""
    shared = _shared(one, other)
    union = np.count_nonzero(one.cover) + np.count_nonzero(other.cover) - shared
    return shared / union if union else 0.0


def _shared(one: Patch, other: Patch) -> int:
    """px inside both; looks only where their boxes meet."""
    left, top = max(one.x, other.x), max(one.y, other.y)
    right = min(one.x + one.cover.shape[1], other.x + other.cover.shape[1])
    bottom = min(one.y + one.cover.shape[0], other.y + other.cover.shape[0])
    if right <= left or bottom <= top:
        return 0
    a, b = (p.cover[top - p.y : bottom - p.y, left - p.x : right - p.x] for p in (one, other))
    return int(np.count_nonzero(a & b))


def _in_crowd(mask: Mask, patch: Patch, crowds: Any) -> bool:
    area = np.count_nonzero(patch.cover)
    return any(
        crowd.category == mask.category and _shared(patch, region) >= _IOU * area
        for crowd, region in crowds
    )
