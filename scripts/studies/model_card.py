"""The table of a model card: mask AP and AP50 of every class on every set, with 95 % intervals.

The intervals are those of a bootstrap over images (Efron 1979): each resample draws as many images
as there are, with repetition, and weighs what was found in them by how often they were drawn.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from segcli.models.device import resolve_device, resolve_precision
from segcli.models.registry import load_model
from segcli.train.results import coco_results
from segcli.train.sources import Validation, read_sources

_RECALLS = np.linspace(0, 1, 101)
_AT_50 = 0


@dataclass(frozen=True, slots=True)
class Line:
    """One class on one set; `low` and `high` enclose 95 % of the resamples' values."""

    set: str
    name: str
    objects: int
    ap: float
    ap_low: float
    ap_high: float
    ap50: float
    ap50_low: float
    ap50_high: float


@dataclass(frozen=True, slots=True)
class Detections:
    """What was found of a class, best first: `image` (D,) index; `right`, `ignored` bool (T, D) at
    each of T thresholds of IoU; `objects` (I,) in each image."""

    image: NDArray[np.int64]
    right: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    objects: NDArray[np.int64]


def main(arguments: Sequence[str]) -> int:
    options = parsed(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    loaded = load_model(None, str(options.weights))
    device = resolve_device("auto")
    precision = resolve_precision(options.precision, device)
    lines = []
    for validation in read_sources(options.data).val:
        found = list(
            coco_results(
                loaded.model, validation.images, validation.annotations, device=device,
                precision=precision,
            )
        )  # fmt: skip
        lines += lines_of(found, validation, loaded.info.categories, options.resamples)
    options.out.mkdir(parents=True, exist_ok=True)
    content = {
        "weights": str(options.weights), "sha256": loaded.sha256, "precision": precision,
        "resamples": options.resamples, "lines": [asdict(line) for line in lines],
    }  # fmt: skip
    (options.out / "card.json").write_text(json.dumps(content, indent=1))
    (options.out / "card.md").write_text(markdown(lines))
    print(markdown(lines))
    return 0


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="segcli's safetensors")
    parser.add_argument("--data", type=Path, required=True, help="as for segcli train: its [[val]]")
    parser.add_argument("--out", type=Path, required=True, help="folder for card.json and card.md")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=0, help="0: as torch likes")
    return parser.parse_args(arguments)


def lines_of(
    found: list[dict[str, Any]],
    validation: Validation,
    categories: Sequence[str],
    resamples: int,
    seed: int = 0,
) -> list[Line]:
    """The classes of the set that the model has and that have objects, in the model's order."""
    truth = json.loads(validation.annotations.read_text())
    ids = {str(c["name"]): int(c["id"]) for c in truth["categories"]}
    wanted = [name for name in categories if name in ids]
    if validation.categories is not None:
        wanted = [name for name in wanted if name in validation.categories]
    matched = match(found, truth, [ids[name] for name in wanted])
    rng = np.random.default_rng(seed)
    images = len(truth["images"])
    draws = rng.multinomial(images, np.full(images, 1 / images), size=resamples)
    lines = []
    for name in wanted:
        detections = matched[ids[name]]
        if not detections.objects.any():
            continue
        value = average_precision(detections, np.ones(images))
        each = np.array([average_precision(detections, draw) for draw in draws])
        low, high = np.nanpercentile(each, (2.5, 97.5), axis=0)
        lines.append(
            Line(
                validation.name, name, int(detections.objects.sum()),
                value[0], low[0], high[0], value[1], low[1], high[1],
            )
        )  # fmt: skip
    return lines


def match(
    found: list[dict[str, Any]], truth: Mapping[str, Any], ids: Sequence[int]
) -> dict[int, Detections]:
    """Category id -> its detections as pycocotools matches them, at most 100 an image."""
    with redirect_stdout(io.StringIO()):  # pycocotools says how far it is
        known = COCO()
        known.dataset = dict(truth)
        known.createIndex()
        detected = known.loadRes([dict(one) for one in found]) if found else COCO()
        evaluator = COCOeval(known, detected, "segm")
        evaluator.params.catIds = list(ids)
        evaluator.params.areaRng = evaluator.params.areaRng[:1]
        evaluator.params.areaRngLbl = ["all"]
        evaluator.evaluate()
    place = {number: index for index, number in enumerate(evaluator.params.imgIds)}
    return {
        number: _detections([e for e in evaluator.evalImgs if e and e["category_id"] == number],
                            place)
        for number in ids
    }  # fmt: skip


def _detections(entries: list[dict[str, Any]], place: Mapping[int, int]) -> Detections:
    objects = np.zeros(len(place), dtype=np.int64)
    images, scores, right, ignored = [], [], [], []
    for entry in entries:
        index = place[entry["image_id"]]
        objects[index] = int((np.asarray(entry["gtIgnore"]) == 0).sum())
        images.append(np.full(len(entry["dtScores"]), index))
        scores.append(np.asarray(entry["dtScores"], dtype=float))
        right.append(np.asarray(entry["dtMatches"]) > 0)
        ignored.append(np.asarray(entry["dtIgnore"]).astype(bool))
    order = np.argsort(-np.concatenate([*scores, np.zeros(0)]), kind="mergesort")
    shape = (10, 0)
    return Detections(
        np.concatenate([*images, np.zeros(0)]).astype(np.int64)[order],
        np.concatenate([*right, np.zeros(shape, bool)], axis=1)[:, order],
        np.concatenate([*ignored, np.zeros(shape, bool)], axis=1)[:, order],
        objects,
    )


def average_precision(found: Detections, draw: NDArray[Any]) -> tuple[float, float]:
    """AP and AP50 where image i counts `draw[i]` times; nan without an object."""
    total = float((found.objects * draw).sum())
    if not total:
        return float("nan"), float("nan")
    weight = draw[found.image]
    counted = weight * ~found.ignored
    right = np.cumsum(counted * found.right, axis=1)
    wrong = np.cumsum(counted * ~found.right, axis=1)
    recall = right / total
    precision = right / np.maximum(right + wrong, 1e-12)
    values = []
    for r, p in zip(recall, precision, strict=True):
        highest = np.maximum.accumulate(p[::-1])[::-1]
        index = np.searchsorted(r, _RECALLS, side="left")
        values.append(np.append(highest, 0.0)[index].mean())
    return float(np.mean(values)), float(values[_AT_50])


def markdown(lines: Sequence[Line]) -> str:
    rows = ["| set | class | objects | AP (95 %) | AP50 (95 %) |", "|---|---|---|---|---|"]
    for line in lines:
        rows.append(
            f"| {line.set} | {line.name} | {line.objects} "
            f"| {line.ap:.3f} ({line.ap_low:.3f} to {line.ap_high:.3f}) "
            f"| {line.ap50:.3f} ({line.ap50_low:.3f} to {line.ap50_high:.3f}) |"
        )
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
