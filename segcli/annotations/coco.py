"""The reader of COCO JSON for all commands: columns, with every value checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.annotations.coco_keypoints import keypoint_fields
from segcli.annotations.coco_lists import federated, sizes_of, sorted_by_id, without_copies
from segcli.annotations.columns import (
    Gathered,
    boxes,
    find,
    identities,
    identity,
    load_json,
    name_of,
    numbers,
    objects,
    places,
    unique,
)
from segcli.annotations.ground_truth import GroundTruth
from segcli.annotations.outlines import Outline, check_outlines, to_rle
from segcli.errors import UsageError
from segcli.masks import rle
from segcli.plurals import with_count
from segcli.types import Size

KINDS = ("segm", "bbox", "boundary", "keypoints")
_MASKED = ("segm", "boundary")
_KEYS = ("id", "image_id", "category_id", "bbox", "area", "iscrowd", "segmentation")
_BROKEN_BOX = "{} invalid boxes were ignored, because masks are compared"
_NAMELESS = "{} categories have no name; their id is used instead"
_ALL_CROWD = (
    "all objects ({}) are marked as crowds (iscrowd 1), as CVAT marks masks: set it to 0 if they "
    "are single objects"
)
_DANGLING = "{{}} annotations of {} that the file does not list were left out"


def read_coco(
    path: Path,
    *,
    iou: str = "segm",
    strict: bool = False,
    need_masks: bool = True,
    lenient: bool = False,
) -> GroundTruth:
    """Raises UsageError with one sentence that names the object at fault.

    `strict` also refuses what changes no number: broken boxes where masks are compared, polygons
    of fewer than three points beside a good one, categories without a name. `need_masks` False:
    objects without a mask are read too. `lenient` is for uses that need neither ids nor areas of
    annotations: ids may come twice, areas are not read, and annotations of images and categories
    that the file does not list are left out and counted.
    """
    return parse_coco(
        load_json(path),
        str(path),
        iou=iou,
        strict=strict,
        need_masks=need_masks,
        lenient=lenient,
    )


def parse_coco(
    document: Any,
    where: str,
    *,
    iou: str = "segm",
    strict: bool = False,
    need_masks: bool = True,
    lenient: bool = False,
    size_of: Callable[[str], Size] | None = None,
) -> GroundTruth:
    """The same from the loaded JSON, with sizes (h, w) px by `size_of` where the file has none."""
    notes: Counter[str] | None = None if strict else Counter()
    in_file, categories = (
        without_copies(objects(document, key, where), what, notes)
        for key, what in (("images", "image"), ("categories", "category"))
    )
    images, categories = sorted_by_id(in_file, "image"), sorted_by_id(categories, "category")
    if not images:
        raise UsageError(f"{where} has no images; expected annotated images")
    image_ids = identities(images, "id", "image")
    category_ids = identities(categories, "id", "category")
    names = tuple(map(_file_name, images))
    masked = iou in _MASKED
    sizes = sizes_of(images, names, required=masked, size_of=size_of)
    items = Gathered(objects(document, "annotations", where), _KEYS)
    if lenient and notes is not None:
        items = _without_dangling(items, image_ids, category_ids, notes)
    image, category = _owners(items, image_ids, category_ids)
    outlines = _outlines(items, image, (names, sizes), need_masks, notes) if masked else []
    around = _boxes(items, required=not masked, notes=notes)
    return GroundTruth(
        where=where,
        image_ids=image_ids,
        names=names,
        sizes=sizes,
        listed=find(identities(in_file, "id", "image"), image_ids),
        category_ids=category_ids,
        category_names=tuple(_category_name(one, notes) for one in categories),
        ids=_annotation_ids(items, lenient=lenient),
        image=image,
        category=category,
        areas=_areas(items, outlines, sizes[image], around, lenient=lenient),
        boxes=around,
        crowd=_crowd(items, notes),
        outlines=outlines,
        **keypoint_fields(items, categories, category, iou == "keypoints", lenient, notes),
        federated=federated(images, categories),
        annotations=items if lenient else (),
        notes=tuple(with_count(text, count) for text, count in (notes or {}).items()),
    )


def _owners(
    items: Gathered, image_ids: NDArray[Any], category_ids: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The indices of each object's image and category. Raises UsageError for an unknown one."""
    image, category = (
        places(identities(items, f"{of}_id", "annotation"), among, items, "annotation", of=of)
        for of, among in (("image", image_ids), ("category", category_ids))
    )
    return image, category


def _without_dangling(
    items: Gathered, image_ids: NDArray[Any], category_ids: NDArray[Any], notes: Counter[str]
) -> Gathered:
    known = np.ones(len(items), bool)
    for key, among, what in (
        ("image_id", image_ids, "images"),
        ("category_id", category_ids, "categories"),
    ):
        there = find(identities(items, key, "annotation"), among) >= 0
        if lost := int((known & ~there).sum()):
            notes[_DANGLING.format(what)] += lost
        known &= there
    if known.all():
        return items
    return Gathered([items[i] for i in np.flatnonzero(known).tolist()], _KEYS)


def _annotation_ids(items: Gathered, *, lenient: bool) -> NDArray[Any]:
    """Given or, where no annotation has one, counted from 1."""
    if lenient or ("id" not in items.columns and not any("id" in item for item in items)):
        return np.arange(1, len(items) + 1)
    ids = identities(items, "id", "annotation")
    unique(ids, items, "id", "annotation")
    return ids


def _file_name(image: Mapping[str, Any]) -> str:
    """LVIS has no file name in some versions, but the address of the picture."""
    name = image.get("file_name") or image.get("coco_url")
    if isinstance(name, list | dict):
        raise UsageError(f'image {image["id"]}: its "file_name" is {name}; expected a text')
    return str(name).removeprefix("./") if name else ""


def _category_name(category: Mapping[str, Any], notes: Counter[str] | None) -> str:
    name = category.get("name")
    if isinstance(name, str) and name:
        return name
    if notes is None:
        raise UsageError(f'category {category["id"]}: it has no "name"')
    notes[_NAMELESS] += 1
    return str(category["id"])


def _outlines(
    items: Gathered,
    image: NDArray[np.int64],
    of_images: tuple[Sequence[str], NDArray[np.int64]],
    required: bool,
    notes: Counter[str] | None,
) -> list[Outline | None]:
    """`image` (N,) is the index of each object's image in `of_images`, names and sizes (I, 2)."""
    names, sizes = of_images

    def name(i: int) -> str:
        own = name_of(items, i, "annotation")
        return f"image {names[image[i]]}, {own}" if names[image[i]] else own

    return check_outlines(items, sizes[image], name, required=required, notes=notes)


def _boxes(items: Gathered, *, required: bool, notes: Counter[str] | None) -> NDArray[np.float64]:
    """Zeros for boxes that are missing or broken where nobody compares boxes."""
    there = [i for i, item in enumerate(items) if required or item.get("bbox") is not None]
    try:
        if len(there) == len(items):
            return boxes(items, "bbox", "annotation")
        if notes is None:
            boxes([items[i] for i in there], "bbox", "annotation")
    except UsageError:
        if required or notes is None:
            raise
    assert notes is not None or len(there) < len(items)
    found = np.zeros((len(items), 4))
    for i in there:
        try:
            found[i] = boxes([items[i]], "bbox", "annotation")[0]
        except UsageError:
            if notes is not None:
                notes[_BROKEN_BOX] += 1
    return found


def _areas(
    items: Gathered,
    outlines: list[Outline | None],
    sizes: NDArray[np.int64],
    around: NDArray[np.float64],
    *,
    lenient: bool,
) -> NDArray[np.float64]:
    """As the file says, for the ranges of area are defined by it; else of the mask, or the box."""
    if lenient:
        return np.zeros(len(items))
    given = items.columns.get("area") or [item.get("area") for item in items]
    missing = [i for i, area in enumerate(given) if area is None]
    if not missing:
        return numbers(items, "area", "annotation")
    found = np.zeros(len(items))
    there = [i for i, area in enumerate(given) if area is not None]
    found[there] = numbers([items[i] for i in there], "area", "annotation")
    for i in missing:
        outline = outlines[i] if outlines else None
        if outline is not None:
            tall, wide = sizes[i].tolist()
            found[i] = rle.area(to_rle(outline, tall, wide), tall, wide)
        else:
            found[i] = around[i, 2] * around[i, 3]
    return found


def _crowd(items: Gathered, notes: Counter[str] | None) -> NDArray[np.bool_]:
    """0 and 1 as numbers, as false and true, each also as text; null is 0."""
    flags = items.columns.get("iscrowd") or [item.get("iscrowd", 0) for item in items]
    if set(map(type, flags)) - {int, bool} or set(flags) - {0, 1}:
        flags = [_flag(flag) for flag in flags]
        wrong = [i for i, flag in enumerate(flags) if flag not in (0, 1)]
        if wrong:
            raise UsageError(f'{name_of(items, wrong[0], "annotation")}: "iscrowd" must be 0 or 1')
    crowd = np.array(flags, bool)
    if notes is not None and len(crowd) and crowd.all():
        notes[_ALL_CROWD] = len(crowd)
    return crowd


def _flag(flag: Any) -> int | str | None:
    if flag is None or str(flag).lower() == "false":
        return 0
    return 1 if str(flag).lower() == "true" else identity(flag)
