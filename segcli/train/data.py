"""Annotated images in COCO format, several data sets as one, each with what it annotates."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segcli.errors import UsageError
from segcli.types import Size


@dataclass(frozen=True, slots=True)
class Annotation:
    """One object: `label` indexes the model's categories."""

    label: int
    segmentation: Any  # COCO polygons [[x, y, ...], ...] or an RLE dict, original px; None: a box
    crowd: bool
    box: tuple[float, float, float, float] | None = None  # (x, y, w, h) where nobody drew it


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """One image file with its objects; `size` px is what the objects' numbers refer to.

    `exhaustive` (C,): which categories are fully annotated. `weight`: how many times an epoch
    shows the image, on average.
    """

    path: Path
    size: Size
    annotations: tuple[Annotation, ...]
    exhaustive: tuple[bool, ...]
    weight: float = 1.0

    @property
    def aspect(self) -> float:
        """Height / width."""
        return self.size[0] / self.size[1]


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


def read_dataset(
    dataset: DataSet, categories: Sequence[str], *, left_out: Counter[str] | None = None
) -> list[AnnotatedImage]:
    """The images of a data set with the objects of `categories`, in the order of the file.

    Objects of other categories are background. `left_out` counts what is of no use, by reason.
    Raises UsageError where the file is not COCO json, knows none of the categories, has an
    annotation that cannot be drawn, or names an image that is not there.
    """
    content = read_annotations(dataset.annotations)
    label_of = {name: label for label, name in enumerate(categories)}
    left_out = Counter() if left_out is None else left_out
    try:
        names = {int(c["id"]): str(c["name"]) for c in content["categories"]}
        rows = {
            int(i["id"]): (str(i["file_name"]), (_side(i["height"]), _side(i["width"])))
            for i in content["images"]
        }
        objects: dict[int, list[Annotation]] = defaultdict(list)
        for entry in content["annotations"]:
            number, label = int(entry["image_id"]), names.get(int(entry["category_id"]), "")
            if number not in rows:
                left_out["annotations of images that the file does not list"] += 1
            elif label in label_of:
                place = f"{dataset.annotations}: image {rows[number][0]}, annotation"
                size = rows[number][1]
                annotation = _annotation(entry, label_of[label], size, place, left_out)
                objects[number] += [] if annotation is None else [annotation]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UsageError(
            f"{dataset.annotations}: broken COCO entry ({error!r}); expected images with id, "
            "file_name, height and width, annotations with image_id, category_id and segmentation"
        ) from error
    exhaustive = _exhaustive(dataset, list(names.values()), categories, bool(objects))
    return [
        AnnotatedImage(
            image_path(dataset.images, name, dataset.annotations),
            size,
            tuple(objects[number]),
            exhaustive,
            dataset.weight,
        )
        for number, (name, size) in rows.items()
    ]


def _side(given: Any) -> int:
    side = int(given)
    if side < 1:
        raise ValueError(f"a side of {given} px")
    return side


def _exhaustive(
    dataset: DataSet, names: Sequence[str], categories: Sequence[str], any_object: bool
) -> tuple[bool, ...]:
    """Which of the categories the data set annotates everywhere."""
    known = set(names) if dataset.only is None else dataset.only
    if unknown := sorted(known - {*names, *categories}):
        raise UsageError(
            f"{dataset.annotations} has no category {unknown[0]!r}; it has "
            f"{', '.join(sorted(names)[:10])}"
        )
    exhaustive = tuple(name in known for name in categories)
    if not any(exhaustive) and not any_object:
        raise UsageError(
            f"{dataset.annotations} annotates none of {', '.join(categories)}; it has "
            f"{', '.join(sorted(names)[:10])}"
        )
    return exhaustive


def image_path(images: Path, name: str, annotations: Path) -> Path:
    """The file in `images` that `annotations` name; a path written on Windows is read too.

    Raises UsageError where there is none.
    """
    path = images / name
    if not path.is_file() and "\\" in name:
        path = images / name.replace("\\", "/")
    if not path.is_file():
        raise UsageError(f"{annotations} names {path}, which is not there")
    return path


def _annotation(
    entry: Mapping[str, Any], label: int, size: Size, place: str, left_out: Counter[str]
) -> Annotation | None:
    """Raises UsageError that begins with `place` where the outline cannot be drawn."""
    crowd = bool(entry.get("iscrowd", 0))
    segmentation = entry.get("segmentation")
    if isinstance(segmentation, list):
        problem = _problem_of(segmentation)
        if problem:
            raise UsageError(f"{place} {entry.get('id', '?')}: {problem}")
        whole = [polygon for polygon in segmentation if len(polygon) >= 6]
        left_out["polygons of fewer than three points"] += len(segmentation) - len(whole)
        segmentation = whole
    elif segmentation and not isinstance(segmentation, dict):
        raise UsageError(
            f"{place} {entry.get('id', '?')}: the segmentation is {type(segmentation).__name__}; "
            "expected polygons [[x, y, ...], ...] or an RLE with size and counts"
        )
    if isinstance(segmentation, dict) and tuple(segmentation.get("size", ())) != size:
        raise UsageError(
            f"{place} {entry.get('id', '?')}: an RLE of size {segmentation.get('size')} in an "
            f"image of {list(size)} (height, width)"
        )
    if segmentation:
        return Annotation(label, segmentation, crowd)
    box = entry.get("bbox")
    if box is None or len(box) != 4 or not (float(box[2]) > 0 and float(box[3]) > 0):
        left_out["objects with neither an outline nor a box"] += 1
        return None
    x, y, w, h = (float(v) for v in box)
    return Annotation(label, None, crowd, (x, y, w, h))


def _problem_of(polygons: Sequence[Any]) -> str | None:
    """What is wrong with a list of polygons, or None."""
    for polygon in polygons:
        if not isinstance(polygon, list):
            return "a polygon is no list; expected [[x, y, ...], ...]"
        if len(polygon) % 2:
            return f"a polygon of {len(polygon)} numbers; expected pairs x, y"
        for value in polygon:
            if isinstance(value, bool) or not isinstance(value, int | float):
                return f"a polygon with {value!r}; expected numbers"
            if not math.isfinite(value):
                return f"a polygon with {value}; expected finite numbers"
    return None
