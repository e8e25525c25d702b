"""The LVIS protocol: categories annotated in some images only, 300 detections per image."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np

from segcli.errors import UsageError
from segcli.evaluate.engines import (
    BY_PYCOCOTOOLS,
    category_dicts,
    detections,
    image_dicts,
    object_indices,
    translated,
)
from segcli.evaluate.matched import Case
from segcli.evaluate.scores import PerClass


def run_lvis(case: Case, iou: str) -> tuple[dict[str, float], list[PerClass]]:
    """The thirteen metrics of LVIS by hotcoco, and the AP of each category.

    A detection is ignored if its category is neither annotated nor known to be absent in its image.
    """
    import hotcoco

    if iou in BY_PYCOCOTOOLS:
        raise UsageError(f"--protocol lvis compares no {iou}; give --iou segm or bbox")
    known = case.truth.federated
    if known is None:
        raise UsageError(
            f"{case.truth.where} is not LVIS ground truth: its images have no neg_category_ids; "
            "omit --protocol lvis"
        )
    number = {own: i + 1 for i, own in enumerate(case.truth.category_ids.tolist())}
    images = image_dicts(case)
    for image, absent, partly in zip(images, known.absent, known.not_exhaustive, strict=True):
        image["neg_category_ids"] = [number[one] for one in absent if one in number]
        image["not_exhaustive_category_ids"] = [number[one] for one in partly if one in number]
    categories = category_dicts(case)
    for category, frequency in zip(categories, known.frequency, strict=True):
        category["frequency"] = frequency
    with translated("hotcoco"):
        truth = hotcoco.COCO(_dataset(case, images, categories, iou))
        evaluator = hotcoco.LVISeval(truth, detections(truth, case, iou), iou)
        evaluator.params.img_ids = (case.images + 1).tolist()
        evaluator.params.cat_ids = (case.categories + 1).tolist()
        with contextlib.redirect_stdout(io.StringIO()):
            evaluator.run()
    metrics = {name: float(value) for name, value in evaluator.get_results().items()}
    return metrics, _classes(case, evaluator)


def _dataset(
    case: Case, images: list[dict[str, Any]], categories: list[dict[str, Any]], iou: str
) -> dict[str, Any]:
    truth = case.truth
    items = []
    for i in object_indices(case).tolist():
        item: dict[str, Any] = {
            "id": i + 1,
            "image_id": int(truth.image[i]) + 1,
            "category_id": int(truth.category[i]) + 1,
            "bbox": truth.boxes[i].tolist(),
            "area": float(truth.areas[i]),
            "iscrowd": int(truth.crowd[i]),
        }
        if iou != "bbox":
            item["segmentation"] = truth.outlines[i]
        items.append(item)
    return {"images": images, "categories": categories, "annotations": items}


def _classes(case: Case, evaluator: Any) -> list[PerClass]:
    precision = evaluator.eval["precision"]
    recall = evaluator.eval["recall"]
    objects = np.bincount(case.truth.category, minlength=len(case.truth.category_ids))
    found = np.bincount(case.category, minlength=len(case.truth.category_ids))
    classes = []
    for k, index in enumerate(case.categories.tolist()):
        own, reached = precision[:, :, k, 0, -1], recall[:, k, 0, -1]
        ap, ap50, ap75, ar = (_mean(part) for part in (own, own[0], own[5], reached))
        name = case.truth.category_names[index]
        counts = int(objects[index]), int(found[index])
        classes.append(PerClass(name, ap, ap50, ap75, ar, *counts))
    return classes


def _mean(values: Any) -> float:
    there = values[values > -1]
    return float(np.mean(there)) if len(there) else -1.0
