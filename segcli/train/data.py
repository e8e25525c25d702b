"""Annotated images in COCO format, several data sets as one, each with what it annotates."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from segcli.errors import UsageError


@dataclass(frozen=True, slots=True)
class Annotation:
    """One object: `label` indexes the model's categories."""

    label: int
    segmentation: Any  # COCO polygons [[x, y, ...], ...] or an RLE dict, original px; None: a box
    crowd: bool
    box: tuple[float, float, float, float] | None = None  # (x, y, w, h) where nobody drew it


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """One image file with its objects; `aspect` is height / width, as the annotations tell.

    `exhaustive` (C,): which categories are fully annotated. `weight`: how many times an epoch
    shows the image, on average.
    """

    path: Path
    aspect: float
    annotations: tuple[Annotation, ...]
    exhaustive: tuple[bool, ...]
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class DataSet:
    """Annotated images. `only`: the categories of which every object is annotated, None: all in
    the file. `weight`: how many times an epoch shows each image."""

    images: Path
    annotations: Path
    only: frozenset[str] | None = None
    weight: float = 1.0


def read_annotations(path: Path) -> dict[str, Any]:
    """The COCO json as it is, its three lists checked; UsageError otherwise."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not readable COCO json: {error}") from error
    lists = ("images", "annotations", "categories")
    if not isinstance(content, dict) or any(not isinstance(content.get(k), list) for k in lists):
        raise UsageError(f"{path} is no COCO json: expected the lists {', '.join(lists)}")
    return content


def categories_of(paths: Iterable[Path]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names and ids of all categories in the files, in order of id; ids must agree by name."""
    ids: dict[str, int] = {}
    for path in paths:
        for category in read_annotations(path)["categories"]:
            name, number = str(category["name"]), int(category["id"])
            if ids.setdefault(name, number) != number:
                raise UsageError(
                    f"category '{name}' has id {ids[name]} in one file and {number} in {path}; "
                    "give them one id"
                )
    if not ids:
        raise UsageError("the annotations name no category")
    names = tuple(sorted(ids, key=lambda name: ids[name]))
    return names, tuple(ids[name] for name in names)


def read_dataset(dataset: DataSet, categories: Sequence[str]) -> list[AnnotatedImage]:
    """The images of a data set with the objects of `categories`, in the order of the file.

    Objects of other categories are background. Raises UsageError where the file is not COCO json,
    knows none of the categories, or names an image that is not there.
    """
    content = read_annotations(dataset.annotations)
    label_of = {name: label for label, name in enumerate(categories)}
    try:
        names = {int(c["id"]): str(c["name"]) for c in content["categories"]}
        objects: dict[int, list[Annotation]] = defaultdict(list)
        for a in content["annotations"]:
            annotation = _annotation(a, label_of.get(names.get(int(a["category_id"]), ""), -1))
            if annotation is not None:
                objects[int(a["image_id"])].append(annotation)
        rows = [
            (int(i["id"]), str(i["file_name"]), int(i["height"]) / int(i["width"]))
            for i in content["images"]
        ]
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise UsageError(
            f"{dataset.annotations}: broken COCO entry ({error!r}); expected images with id, "
            "file_name, height and width, annotations with image_id, category_id and segmentation"
        ) from error
    known = set(names.values()) if dataset.only is None else dataset.only
    if unknown := sorted(known - {*names.values(), *categories}):
        raise UsageError(
            f"--only-categories: {dataset.annotations} has no category {unknown[0]!r}; it has "
            f"{', '.join(sorted(names.values())[:10])}"
        )
    exhaustive = tuple(name in known for name in categories)
    if not any(exhaustive) and not objects:
        raise UsageError(
            f"{dataset.annotations} annotates none of {', '.join(categories)}; it has "
            f"{', '.join(sorted({*names.values()})[:10])}"
        )
    found = [
        AnnotatedImage(
            dataset.images / name, aspect, tuple(objects[number]), exhaustive, dataset.weight
        )
        for number, name, aspect in rows
    ]
    for row in found:
        if not row.path.is_file():
            raise UsageError(f"{dataset.annotations} names {row.path}, which is not there")
    return found


def _annotation(entry: Mapping[str, Any], label: int) -> Annotation | None:
    crowd = bool(entry.get("iscrowd", 0))
    segmentation = entry.get("segmentation")
    if label < 0:
        return None
    if segmentation:
        return Annotation(label, segmentation, crowd)
    if entry.get("bbox") is None:
        return None
    x, y, w, h = (float(v) for v in entry["bbox"])
    return Annotation(label, None, crowd, (x, y, w, h))


def ignore_boxes(rows: Sequence[AnnotatedImage]) -> list[AnnotatedImage]:
    """The rows with objects that have a box alone made regions to ignore, for models that learn
    from outlines alone: neither object nor background is to be learned there."""
    return [
        replace(row, annotations=tuple(replace(a, crowd=a.crowd or a.box is not None)
                                       for a in row.annotations))
        for row in rows
    ]  # fmt: skip


def repeat_rare(rows: Sequence[AnnotatedImage], threshold: float) -> list[AnnotatedImage]:
    """Repeat-factor sampling (Gupta et al. 2019, LVIS, section 5.1): an image is shown
    max(1, sqrt(threshold / f)) times as often, f the share of images that show its rarest category.
    """
    kinds = [{a.label for a in row.annotations if not a.crowd} for row in rows]
    total = sum(row.weight for row in rows)
    share: dict[int, float] = defaultdict(float)
    for row, labels in zip(rows, kinds, strict=True):
        for label in labels:
            share[label] += row.weight / total
    factor = {label: max(1.0, math.sqrt(threshold / f)) for label, f in share.items()}
    return [
        replace(row, weight=row.weight * max((factor[k] for k in labels), default=1.0))
        for row, labels in zip(rows, kinds, strict=True)
    ]
