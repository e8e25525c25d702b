"""The lists of images and categories of COCO JSON: each entry once, ascending by id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.annotations.columns import identities, identity, integers, name_of, unique
from segcli.annotations.ground_truth import Federated
from segcli.errors import UsageError
from segcli.masks import rle
from segcli.types import Size


def without_copies(
    items: list[dict[str, Any]], what: str, notes: Counter[str] | None
) -> list[dict[str, Any]]:
    """Without those that are listed again, word for word."""
    ids = identities(items, "id", what).tolist()
    if notes is None or len({*ids}) == len(ids):
        return items
    first: dict[int | str, dict[str, Any]] = {}
    kept = []
    for number, item in zip(ids, items, strict=True):
        if first.setdefault(number, item) is item or first[number] != item:
            kept.append(item)
        else:
            notes[f"{{}} entries of {what} ids were listed twice"] += 1
    return kept


def sorted_by_id(items: list[dict[str, Any]], what: str) -> list[dict[str, Any]]:
    """Texts in their own order, as pycocotools has them; numbers before texts."""
    ids = identities(items, "id", what)
    unique(ids, items, "id", what)
    if ids.dtype != object:
        if not all(type(item["id"]) is str for item in items):
            return [items[i] for i in np.argsort(ids, kind="stable").tolist()]
        return sorted(items, key=lambda item: str(item["id"]))
    pairs = zip(ids.tolist(), items, strict=True)
    return [item for _, item in sorted(pairs, key=lambda p: (type(p[0]) is str, p[0]))]


def federated(images: list[dict[str, Any]], categories: list[dict[str, Any]]) -> Federated | None:
    if not any("neg_category_ids" in image for image in images):
        return None
    return Federated(
        tuple(_id_list(image, "neg_category_ids") for image in images),
        tuple(_id_list(image, "not_exhaustive_category_ids") for image in images),
        tuple(str(category.get("frequency", "f")) for category in categories),
    )


def _id_list(image: Mapping[str, Any], key: str) -> list[int | str]:
    given = image.get(key, [])
    found = [identity(one) for one in given] if type(given) is list else [None]
    ids = [one for one in found if one is not None]
    if len(ids) < len(found):
        raise UsageError(f'image {image["id"]}: "{key}" must be a list of category ids')
    return ids


def sizes_of(
    images: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    *,
    required: bool,
    size_of: Callable[[str], Size] | None,
) -> NDArray[np.int64]:
    """(I, 2) px; 0 where there is none and none is required."""
    sizes = np.zeros((len(images), 2), np.int64)
    told = [
        i
        for i, image in enumerate(images)
        if None not in (image.get("height"), image.get("width")) or (required and size_of is None)
    ]
    if required and size_of is not None:
        for i in sorted({*range(len(images))} - {*told}):
            sizes[i] = size_of(names[i])
    own = [images[i] for i in told]
    sizes[told] = np.stack([integers(own, side, "image") for side in ("height", "width")], 1)
    sane = (sizes >= 1).all(1) & (sizes[:, 0] <= rle.MAX_PIXELS // sizes[:, 1].clip(1))
    wrong = [i for i in told if not sane[i]]
    if wrong:
        tall, wide = sizes[wrong[0]].tolist()
        raise UsageError(f"{name_of(images, wrong[0], 'image')} cannot be {tall} x {wide} px")
    return sizes
