"""Ground truth: COCO json as columns, every value of it checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.errors import UsageError
from segcli.evaluate.columns import (
    Gathered,
    boxes,
    integers,
    load_json,
    name_of,
    numbers,
    objects,
    places,
    unique,
)
from segcli.evaluate.outlines import Outline, check_outlines, to_rle
from segcli.masks import rle

KINDS = ("segm", "bbox", "boundary")
_KEYS = ("id", "image_id", "category_id", "bbox", "area", "iscrowd", "segmentation")


@dataclass(frozen=True, slots=True)
class Federated:
    """What LVIS adds per image: categories known to be absent, and those not fully annotated."""

    absent: tuple[list[int], ...]
    not_exhaustive: tuple[list[int], ...]
    frequency: tuple[str, ...]  # per category: r, c, f


@dataclass(frozen=True, slots=True)
class Truth:
    """I images and C categories, each ascending by id, and N objects in the order of the file.

    `names` are file names ("" where the file has none), `sizes` (I, 2) px. Of the objects: `image`
    and `category` are indices, `areas` px, `boxes` (N, 4) xywh px, `crowd` regions that are
    neither right nor wrong, `outlines` the masks (empty when only boxes are compared).
    """

    where: str
    image_ids: NDArray[np.int64]
    names: tuple[str, ...]
    sizes: NDArray[np.int64]
    category_ids: NDArray[np.int64]
    category_names: tuple[str, ...]
    ids: NDArray[np.int64]
    image: NDArray[np.int64]
    category: NDArray[np.int64]
    areas: NDArray[np.float64]
    boxes: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    outlines: list[Outline] = field(repr=False)
    federated: Federated | None = None


def read_truth(path: Path, *, iou: str = "segm") -> Truth:
    """Raises UsageError with one sentence that names the object at fault."""
    return truth_of(load_json(path), str(path), iou=iou)


def truth_of(document: Any, where: str, *, iou: str = "segm") -> Truth:
    """The same from the loaded JSON. Masks are not looked at when only boxes are compared."""
    if not isinstance(document, dict):
        raise UsageError(f"{where} is no COCO json: expected an object with images, annotations")
    images = _sorted_by_id(objects(document, "images", where), "image")
    categories = _sorted_by_id(objects(document, "categories", where), "category")
    if not images:
        raise UsageError(f"{where} has no images; expected the ground truth of an evaluation")
    image_ids = integers(images, "id", "image")
    category_ids = integers(categories, "id", "category")
    sizes = np.stack([integers(images, side, "image") for side in ("height", "width")], 1)
    _require_sizes(images, sizes)
    items = Gathered(objects(document, "annotations", where), _KEYS)
    ids = _annotation_ids(items)
    image = places(
        integers(items, "image_id", "annotation"), image_ids, items, "annotation", of="image"
    )
    category = places(
        integers(items, "category_id", "annotation"),
        category_ids,
        items,
        "annotation",
        of="category",
    )
    outlines = [] if iou == "bbox" else check_outlines(items, sizes[image], "annotation")
    around = _boxes(items, required=iou == "bbox")
    return Truth(
        where=where,
        image_ids=image_ids,
        names=tuple(_file_name(image) for image in images),
        sizes=sizes,
        category_ids=category_ids,
        category_names=tuple(_category_name(one) for one in categories),
        ids=ids,
        image=image,
        category=category,
        areas=_areas(items, outlines, sizes[image], around),
        boxes=around,
        crowd=_crowd(items),
        outlines=outlines,
        federated=_federated(images, categories),
    )


def _sorted_by_id(items: list[dict[str, Any]], what: str) -> list[dict[str, Any]]:
    ids = integers(items, "id", what)
    unique(ids, items, "id", what)
    return [items[i] for i in np.argsort(ids, kind="stable").tolist()]


def _require_sizes(images: Sequence[Mapping[str, Any]], sizes: NDArray[np.int64]) -> None:
    sane = (sizes >= 1).all(1) & (sizes[:, 0] <= rle.MAX_PIXELS // sizes[:, 1].clip(1))
    if not sane.all():
        at = int(np.flatnonzero(~sane)[0])
        tall, wide = sizes[at].tolist()
        raise UsageError(f"{name_of(images, at, 'image')} cannot be {tall} x {wide} px")


def _annotation_ids(items: Gathered) -> NDArray[np.int64]:
    """Given or, where no annotation has one, counted from 1."""
    if "id" not in items.columns and not any("id" in item for item in items):
        return np.arange(1, len(items) + 1)
    ids = integers(items, "id", "annotation")
    unique(ids, items, "id", "annotation")
    return ids


def _file_name(image: Mapping[str, Any]) -> str:
    """LVIS has no file name in some versions, but the address of the picture."""
    name = image.get("file_name") or image.get("coco_url")
    return str(name).removeprefix("./") if name else ""


def _category_name(category: Mapping[str, Any]) -> str:
    name = category.get("name")
    if type(name) is not str or not name:
        raise UsageError(f'category {category["id"]}: it has no "name"')
    return name


def _boxes(items: Gathered, *, required: bool) -> NDArray[np.float64]:
    if required or "bbox" in items.columns or all("bbox" in item for item in items):
        return boxes(items, "bbox", "annotation")
    return np.zeros((len(items), 4))  # masks are compared; nobody asks for boxes


def _areas(
    items: Gathered,
    outlines: list[Outline],
    sizes: NDArray[np.int64],
    around: NDArray[np.float64],
) -> NDArray[np.float64]:
    """As the file says, for the ranges of area are defined by it; else of the mask, or the box."""
    if "area" in items.columns:
        return numbers(items, "area", "annotation")
    missing = [i for i, item in enumerate(items) if "area" not in item]
    if not missing:
        return numbers(items, "area", "annotation")
    found = np.zeros(len(items))
    there = [i for i, item in enumerate(items) if "area" in item]
    found[there] = numbers([items[i] for i in there], "area", "annotation")
    for i in missing:
        if outlines:
            tall, wide = sizes[i].tolist()
            found[i] = rle.area(to_rle(outlines[i], tall, wide), tall, wide)
        else:
            found[i] = around[i, 2] * around[i, 3]
    return found


def _crowd(items: Gathered) -> NDArray[np.bool_]:
    flags = items.columns.get("iscrowd") or [item.get("iscrowd", 0) for item in items]
    if set(map(type, flags)) - {int, bool} or set(flags) - {0, 1}:
        right = [type(flag) in (int, bool) and flag in (0, 1) for flag in flags]
        name = name_of(items, right.index(False), "annotation")
        raise UsageError(f'{name}: "iscrowd" must be 0 or 1')
    return np.array(flags, bool)


def _federated(images: list[dict[str, Any]], categories: list[dict[str, Any]]) -> Federated | None:
    if not any("neg_category_ids" in image for image in images):
        return None
    return Federated(
        tuple(_id_list(image, "neg_category_ids") for image in images),
        tuple(_id_list(image, "not_exhaustive_category_ids") for image in images),
        tuple(str(category.get("frequency", "f")) for category in categories),
    )


def _id_list(image: Mapping[str, Any], key: str) -> list[int]:
    found = image.get(key, [])
    if type(found) is not list or set(map(type, found)) - {int}:
        raise UsageError(f'image {image["id"]}: "{key}" must be a list of category ids')
    return found
