"""Ground truth beside what was found: which objects are right, which are wrong, which missing."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from segcli.errors import UsageError
from segcli.masks import rle
from segcli.sources import path_from_key
from segcli.types import Size
from segcli.viz.patch import Patch, patch_of
from segcli.viz.picture import Item

_IOU = 0.5
"""From which overlap on two masks are the same object; the first of COCO's ten thresholds."""


@dataclass(frozen=True, slots=True)
class Truth:
    """The annotations of a COCO file, by relative path and, where it is unique, by file name.

    Only objects of the categories `only` count, when there are any.
    """

    by_path: Mapping[str, Mapping[str, Any]]
    by_name: Mapping[str, Mapping[str, Any] | None]
    annotations: Mapping[Any, Sequence[Mapping[str, Any]]]
    categories: Mapping[Any, str]
    only: Sequence[str] = ()

    def objects(self, key: str, size: Size) -> tuple[list[Item], list[Item]] | None:
        """(objects, crowds) of an image of `size` (H, W) px; None when it is not annotated.

        Raises UsageError for an annotation that is no mask of that size.
        """
        path = path_from_key(key)
        image = self.by_path.get(path) or self.by_name.get(os.path.basename(path))
        if image is None:
            return None
        objects: list[Item] = []
        crowds: list[Item] = []
        for annotation in self.annotations.get(image.get("id"), ()):
            if self.only and self.categories.get(annotation.get("category_id")) not in self.only:
                continue
            item = self._item(annotation, size)
            (crowds if annotation.get("iscrowd") else objects).append(item)
        return objects, crowds

    def _item(self, annotation: Mapping[str, Any], size: Size) -> Item:
        category_id = annotation.get("category_id")
        try:
            counts = rle.from_coco(annotation.get("segmentation") or [], *size)
        except UsageError as error:
            raise UsageError(f"--gt, annotation {annotation.get('id')}: {error}") from None
        name = self.categories.get(category_id, str(category_id))
        number = category_id if isinstance(category_id, int) else 0
        return Item(number, name, None, rle.to_box(counts, *size), counts)


def read_truth(path: Path, only: Sequence[str] = ()) -> Truth:
    """Raises UsageError when the file is not COCO's instances json."""
    try:
        content = json.loads(path.read_bytes())
        images = {image["file_name"]: image for image in content["images"]}
        categories = {c["id"]: str(c["name"]) for c in content["categories"]}
        annotations: dict[Any, list[Mapping[str, Any]]] = {}
        for annotation in content["annotations"]:
            annotations.setdefault(annotation["image_id"], []).append(annotation)
    except OSError as error:
        raise UsageError(f"--gt {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"--gt {path} is not COCO's instances json ({type(error).__name__}: {error}); expected "
            f"an object with images, annotations and categories"
        ) from None
    by_name: dict[str, Mapping[str, Any] | None] = {}
    for name, image in images.items():
        base = os.path.basename(name)
        by_name[base] = None if base in by_name else image
    return Truth(images, by_name, annotations, categories, only)


def judged(
    found: Sequence[Item], truth: Sequence[Item], crowds: Sequence[Item], size: Size
) -> list[Item]:
    """What was found as "true" or "false", and what it lacks as "missed".

    As COCO matches: best score first, each to the unmatched object of its category that it
    overlaps most, by at least 0.5 of their union. What lies mostly in a crowd is left away.
    """
    there = [patch_of(item.rle, size, size) for item in truth]
    regions = [patch_of(item.rle, size, size) for item in crowds]
    free = set(range(len(truth)))
    out = []
    for item in sorted(found, key=lambda item: -(item.score or 0)):
        patch = patch_of(item.rle, size, size)
        rivals = [i for i in free if truth[i].category == item.category]
        best = max(rivals, key=lambda i: overlap(patch, there[i]), default=None)
        if best is not None and overlap(patch, there[best]) >= _IOU:
            free.remove(best)
            out.append(replace(item, verdict="true"))
        elif not _in_crowd(item, patch, zip(crowds, regions, strict=True)):
            out.append(replace(item, verdict="false"))
    return [*out, *(replace(truth[i], verdict="missed") for i in sorted(free))]


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


def _in_crowd(item: Item, patch: Patch, crowds: Any) -> bool:
    area = np.count_nonzero(patch.cover)
    return any(
        crowd.category == item.category and _shared(patch, region) >= _IOU * area
        for crowd, region in crowds
    )
