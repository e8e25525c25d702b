"""The LVIS protocol against its published definition, written down here once more, plainly.

Gupta, Dollár, Girshick, "LVIS", CVPR 2019, section 5: an image has categories that are present,
some known to be absent, and says nothing of the others; some are not annotated exhaustively.
"""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segcli.annotations.coco import parse_coco
from segcli.evaluate import Choices, Params, evaluate_loaded
from segcli.evaluate.predictions import results_of

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
RANGES = {"": (0, 1e10), "s": (0, 32**2), "m": (32**2, 96**2), "l": (96**2, 1e10)}
MOST = 300

Item = dict[str, Any]


def metrics(truth: Item, found: list[Item], iou: str = "bbox") -> dict[str, float]:
    return evaluate_loaded(
        parse_coco(truth, "t", iou=iou),
        results_of(found, "f", iou=iou),
        choices=Choices(iou),
        params=Params(),
        protocol="lvis",
    ).metrics


def lvis_truth(images: list[Item], objects: list[Item], frequencies: str = "rcf") -> Item:
    return {
        "images": [
            {"id": i, "file_name": f"{i}.jpg", "height": 200, "width": 200, **image}
            for i, image in enumerate(images, 1)
        ],
        "categories": [
            {"id": k, "name": f"c{k}", "frequency": f} for k, f in enumerate(frequencies, 1)
        ],
        "annotations": [{"id": i, **one} for i, one in enumerate(objects, 1)],
    }


def item(image: int, category: int, box: list[float], **more: Any) -> Item:
    return {
        "image_id": image,
        "category_id": category,
        "bbox": box,
        "area": box[2] * box[3],
        **more,
    }


def overlap(a: list[float], b: list[float]) -> float:
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    tall = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    both = max(wide, 0) * max(tall, 0)
    return both / (a[2] * a[3] + b[2] * b[3] - both)


def verdicts(truth: Item, found: list[Item], kind: int, limits: tuple[float, float], least: float):
    """(score, right) of every detection of a category that counts, and how many objects count."""
    told, total = [], 0
    for image in truth["images"]:
        objects = [
            (one, not limits[0] <= one["area"] <= limits[1])
            for one in truth["annotations"]
            if (one["image_id"], one["category_id"]) == (image["id"], kind)
        ]
        objects.sort(key=lambda pair: pair[1])
        total += sum(not ignored for _, ignored in objects)
        if not objects and kind not in image["neg_category_ids"]:
            continue
        own = sorted((o for o in found if o["image_id"] == image["id"]), key=lambda o: -o["score"])
        taken: set[int] = set()
        for one in (o for o in own[:MOST] if o["category_id"] == kind):
            best, at = min(least, 1 - 1e-10), -1
            for i, (other, ignored) in enumerate(objects):
                if i in taken or (at >= 0 and not objects[at][1] and ignored):
                    continue
                if overlap(one["bbox"], other["bbox"]) >= best:
                    best, at = overlap(one["bbox"], other["bbox"]), i
            if at >= 0:
                taken.add(at)
                if not objects[at][1]:
                    told.append((one["score"], True))
                continue
            area = one["bbox"][2] * one["bbox"][3]
            outside = not limits[0] <= area <= limits[1]
            if not outside and kind not in image["not_exhaustive_category_ids"]:
                told.append((one["score"], False))
    return told, total


def curve(told: list[tuple[float, bool]], total: int) -> tuple[np.ndarray, float]:
    """Precision at the 101 recalls, and the recall reached."""
    told = sorted(told, key=lambda one: -one[0])
    right = np.cumsum([hit for _, hit in told]) if told else np.zeros(0)
    precision = right / np.arange(1, len(told) + 1)
    values = [precision[right / total >= recall].max(initial=0) for recall in RECALLS]
    return np.array(values), right[-1] / total if len(told) else 0.0


def brute_force(truth: Item, found: list[Item]) -> dict[str, float]:
    numbers: dict[str, list[float]] = {}
    for category in truth["categories"]:
        for letter, limits in RANGES.items():
            for least in THRESHOLDS:
                told, total = verdicts(truth, found, category["id"], limits, least)
                if not total:
                    continue
                precision, recall = curve(told, total)
                names = [f"AP{letter}", *(["AP" + category["frequency"]] if not letter else [])]
                if not letter and least in (0.5, 0.75):
                    names.append(f"AP{100 * least:.0f}")
                for name in names:
                    numbers.setdefault(name, []).extend(precision)
                numbers.setdefault(f"AR{letter}@300", []).append(recall)
    return {name: float(np.mean(values)) for name, values in numbers.items()}


def test_a_federated_case_by_hand() -> None:
    """Two images, three categories; what counts is worked out in the comments."""
    square = [10.0, 10.0, 40.0, 40.0]
    truth = lvis_truth(
        [
            {"neg_category_ids": [2], "not_exhaustive_category_ids": [3]},
            {"neg_category_ids": [], "not_exhaustive_category_ids": []},
        ],
        [item(1, 1, square), item(2, 2, square), item(1, 3, square)],
    )
    far = [100.0, 100.0, 40.0, 40.0]
    found = [
        item(1, 1, square, score=0.9),  # right
        item(2, 1, square, score=0.99),  # image 2 says nothing of category 1: does not count
        item(2, 2, square, score=0.8),  # right, but below ...
        item(1, 2, square, score=0.9),  # ... a wrong one: image 1 is known to lack category 2
        item(1, 3, far, score=0.9),  # unmatched, but category 3 is not exhaustive: does not count
        item(1, 3, square, score=0.5),  # right
    ]
    told = metrics(truth, found)
    assert told["APr"] == pytest.approx(1)
    assert told["APc"] == pytest.approx(0.5)
    assert told["APf"] == pytest.approx(1)
    assert told["AP"] == told["APm"] == pytest.approx(2.5 / 3)
    assert told["AR@300"] == pytest.approx(1)
    assert told["APl"] == -1


@pytest.mark.parametrize("seed", range(6))
def test_random_cases_by_brute_force(seed: int) -> None:
    r = random.Random(seed)
    kinds = range(1, 5)
    images = [
        {
            "neg_category_ids": r.sample(kinds, r.randint(0, 2)),
            "not_exhaustive_category_ids": r.sample(kinds, r.randint(0, 2)),
        }
        for _ in range(5)
    ]

    def box() -> list[float]:
        wide, tall = r.choice([(8, 30), (32, 32), (60, 40), (96, 96), (120, 110)])
        return [float(r.randint(0, 60)), float(r.randint(0, 60)), float(wide), float(tall)]

    objects = [item(r.randint(1, 5), r.choice(kinds), box()) for _ in range(25)]
    for one in objects:  # what is there is not known to be absent
        absent = images[one["image_id"] - 1]["neg_category_ids"]
        if one["category_id"] in absent:
            absent.remove(one["category_id"])
    found = []
    for _ in range(60):
        like = r.choice(objects)
        near = [side + r.choice([0, 0, 1, 4]) for side in like["bbox"]]
        around = near if r.random() < 0.7 else box()
        kind = like["category_id"] if r.random() < 0.8 else r.choice(kinds)
        image = like["image_id"] if r.random() < 0.8 else r.randint(1, 5)
        found.append(item(image, kind, around, score=r.random()))
    truth = lvis_truth(images, objects, "rcff")
    told, expected = metrics(truth, found), brute_force(truth, found)
    assert set(expected) <= set(told)
    for name, value in expected.items():
        assert told[name] == pytest.approx(value, abs=1e-9), name


def test_no_more_than_300_detections_of_an_image_count() -> None:
    square = [10.0, 10.0, 40.0, 40.0]
    nothing = {"neg_category_ids": [], "not_exhaustive_category_ids": []}
    truth = lvis_truth([nothing], [item(1, 1, square), item(1, 2, square)])
    crowd = [item(1, 1, square, score=0.9)] * 300
    told = metrics(truth, [*crowd, item(1, 2, square, score=0.5)])
    assert told["APr"] == pytest.approx(1)
    assert told["APc"] == 0
    told = metrics(truth, [*crowd[1:], item(1, 2, square, score=0.5)])
    assert told["APc"] == pytest.approx(1)


@pytest.mark.slow
def test_the_ground_truth_of_lvis_found_in_part(data: Path) -> None:
    """Its own boxes, moved, mixed up and thinned out."""
    import json

    truth = json.loads((data / "eval/lvis-api/lvis_val_100.json").read_text())
    r = random.Random(3)
    kinds = [one["id"] for one in truth["categories"]]
    found = []
    for one in truth["annotations"]:
        if r.random() < 0.8:
            around = [side + r.choice([0.0, 1.0, 3.0]) for side in one["bbox"]]
            kind = one["category_id"] if r.random() < 0.9 else r.choice(kinds)
            found.append(item(one["image_id"], kind, around, score=r.random()))
    seen = {one["category_id"] for one in truth["annotations"]}
    truth["categories"] = [one for one in truth["categories"] if one["id"] in seen][:40]
    few = {one["id"] for one in truth["categories"]}
    truth["annotations"] = [one for one in truth["annotations"] if one["category_id"] in few]
    found = [one for one in found if one["category_id"] in few]
    told, expected = metrics(truth, found), brute_force(truth, found)
    for name, value in expected.items():
        assert told[name] == pytest.approx(value, abs=1e-9), name
