"""Ground truth and detections made from a seed, nasty in every way that evaluators differ in."""

import contextlib
import copy
import io
import random
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from segcli.masks import rle
from segcli.store import Settings, open_output
from segcli.types import Record, Sample, Segment

LIMITS = (1024, 9216, 1024.0001, 9215.9999, 0, 1e5)  # px, where the ranges of area end

Case = tuple[dict[str, Any], list[dict[str, Any]]]


def make(seed: int) -> Case:
    """Crowds, ties, empty images and masks, categories without objects, more than max_dets."""
    r = random.Random(seed)
    categories = [{"id": i * 3 + 1, "name": f"c{i}"} for i in range(r.randint(1, 5))]
    ids = r.sample(range(1, 10**6), r.randint(1, 7))
    images = [
        {
            "id": number,
            "height": r.choice([20, 64, 150]),
            "width": r.choice([20, 64, 150]),
            "file_name": f"{i}.jpg",
        }
        for i, number in enumerate(ids)
    ]
    objects: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for image in images:
        own = [_object(r, image, categories[: max(1, len(categories) - 1)]) for _ in _some(r, 20)]
        objects += own
        found += [_detection(r, image, own, categories) for _ in _some(r, 130)]
    for i, item in enumerate(objects):
        item["id"] = i + 1
    return {"images": images, "categories": categories, "annotations": objects}, found


def _some(r: random.Random, most: int) -> range:
    return range(r.choice([0, 0, 3, most // 4, most]))


def _mask(r: random.Random, height: int, width: int) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    for _ in range(r.choice([0, 1, 1, 2, 3])):
        y, x = r.randrange(height), r.randrange(width)
        mask[y : y + r.randint(1, height), x : x + r.randint(1, width)] ^= 1
    return mask


def _object(r: random.Random, image: dict[str, Any], categories: list[Any]) -> dict[str, Any]:
    height, width = image["height"], image["width"]
    coded = coco.encode(np.asfortranarray(_mask(r, height, width)))
    segmentation: Any = {"size": [height, width], "counts": coded["counts"].decode()}
    kind = r.random()
    if kind < 0.3:
        segmentation = [
            [r.uniform(-3, (width, height)[i % 2] + 3) for i in range(2 * r.randint(3, 7))]
            for _ in range(r.randint(1, 2))
        ]
        if r.random() < 0.3:
            segmentation = [[round(v) for v in polygon] for polygon in segmentation]
        coded = coco.merge(coco.frPyObjects(segmentation, height, width))
    elif kind < 0.6:
        segmentation = {"size": [height, width], "counts": _runs(_pixels(coded))}
    return {
        "image_id": image["id"],
        "category_id": r.choice(categories)["id"],
        "segmentation": segmentation,
        "bbox": [float(v) for v in coco.toBbox(coded)],
        "area": r.choice(LIMITS) if r.random() < 0.2 else float(coco.area(coded)),
        "iscrowd": int(r.random() < 0.15),
    }


def _runs(mask: np.ndarray) -> list[int]:
    flat = mask.T.ravel()
    cuts = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate(([0], cuts, [len(flat)]))).tolist()
    return [0, *runs] if flat[0] else runs


def _detection(
    r: random.Random, image: dict[str, Any], objects: list[Any], categories: list[Any]
) -> dict[str, Any]:
    height, width = image["height"], image["width"]
    mask, category = _mask(r, height, width), r.choice(categories)["id"]
    if objects and r.random() < 0.6:
        one = r.choice(objects)
        mask = decode(one["segmentation"], height, width)
        category = one["category_id"] if r.random() < 0.85 else category
        if r.random() < 0.7:
            y, x = r.randrange(height), r.randrange(width)
            mask[y : y + r.randint(0, height // 2), x : x + r.randint(0, width // 2)] ^= 1
    coded = coco.encode(np.asfortranarray(mask))
    box = [float(v) for v in coco.toBbox(coded)]
    if r.random() < 0.5:
        box = [
            v + r.uniform(-2, 2) if i < 2 else max(0, v + r.uniform(-2, 2))
            for i, v in enumerate(box)
        ]
    return {
        "image_id": image["id"],
        "category_id": category,
        "score": r.choice([0.1, 0.5, 0.5, 0.9, r.random(), float(np.float32(r.random()))]),
        "segmentation": {"size": [height, width], "counts": coded["counts"].decode()},
        "bbox": box,
    }


def decode(segmentation: Any, height: int, width: int) -> np.ndarray:
    if isinstance(segmentation, list):
        coded = coco.merge(coco.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation["counts"], list):
        coded = coco.frPyObjects(segmentation, height, width)
    else:
        coded = segmentation
    return _pixels(coded)


def _pixels(coded: Any) -> np.ndarray:
    counts = coded["counts"]
    text = counts.encode() if isinstance(counts, str) else counts
    return rle.decode(text, *coded["size"]).astype(np.uint8)


def only(found: list[dict[str, Any]], iou: str) -> list[dict[str, Any]]:
    """Detections as one gives them to pycocotools: with a box it would take the box's area."""
    other = "segmentation" if iou == "bbox" else "bbox"
    return [{k: v for k, v in one.items() if k != other} for one in found]


def judge(truth: dict[str, Any], found: list[dict[str, Any]], iou: str) -> Any:
    """pycocotools itself, used as its own example uses it."""
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = copy.deepcopy(truth)
        known.createIndex()
        evaluator = COCOeval(known, known.loadRes(copy.deepcopy(only(found, iou))), iou)
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator


def write_output(path: Path, truth: dict[str, Any], found: list[dict[str, Any]]) -> Path:
    """The detections as the parts that predict would write, in their order."""
    ids = tuple(category["id"] for category in truth["categories"])
    names = tuple(category["name"] for category in truth["categories"])
    records = []
    for image in truth["images"]:
        own = [one for one in found if one["image_id"] == image["id"]]
        segments = [
            Segment(
                ids.index(one["category_id"]),
                one["score"],
                tuple(one["bbox"]),
                int(coco.area(one["segmentation"])),
                one["segmentation"]["counts"].encode(),
            )
            for one in own
        ]
        name = image["file_name"]
        records.append(Record(Sample(name, name), image["height"], image["width"], segments))
    settings = Settings({"source_root": "/archive"}, {"default_score": 0.5})
    with open_output(path, settings, carried={}, categories=(names, ids)) as output:
        half = (len(records) + 1) // 2
        for chunk in (records[:half], records[half:]):
            if chunk:
                output.commit(chunk)
    return path
