"""An evaluation, from files to metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from segcli.annotations.coco import KINDS, parse_coco, read_coco
from segcli.annotations.ground_truth import GroundTruth
from segcli.annotations.label_maps import merged
from segcli.errors import UsageError
from segcli.evaluate.engines import BY_PYCOCOTOOLS, Curves, Params, run
from segcli.evaluate.keypoints import MAX_DETS, RANGES
from segcli.evaluate.lvis import run_lvis
from segcli.evaluate.matched import Case, Choices, Matching, build_case
from segcli.evaluate.predictions import Results, Rows, read_found, results_of
from segcli.evaluate.scores import PerClass, keypoint_summary, per_class, summary


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`metrics` in the order of COCO's summary; -1 where there is nothing to average.

    `curves` is None under the LVIS protocol.
    """

    case: Case
    matching: Matching
    params: Params
    iou: str
    engine: str
    metrics: dict[str, float]
    classes: list[PerClass]
    curves: Curves | None = field(repr=False)
    found: Rows | Results | None = field(repr=False, default=None)


def evaluate(
    gt: Path,
    pred: Path,
    *,
    choices: Choices | None = None,
    params: Params | None = None,
    engine: str = "fast",
    protocol: str = "coco",
) -> Evaluation:
    """Compare an output of a run, or a file of COCO results, with ground truth as COCO json.

    Raises UsageError for invalid content of the files.
    """
    chosen = choices or Choices()
    with ThreadPoolExecutor(1) as reader:  # Arrow reads while JSON is parsed
        reading = reader.submit(read_found, pred, iou=chosen.iou, static=chosen.static)
        truth = read_coco(gt, iou=chosen.iou, strict=chosen.strict)
        found = reading.result()
    if chosen.merge_categories:
        truth = merged(truth)
    return evaluate_loaded(
        truth,
        found,
        choices=chosen,
        params=params or usual(chosen.iou),
        engine=engine,
        protocol=protocol,
    )


def usual(iou: str) -> Params:
    """What COCO counts: for keypoints at most 20 detections of an image, and no small objects."""
    return Params(MAX_DETS, RANGES) if iou == "keypoints" else Params()


def evaluate_loaded(
    truth: GroundTruth,
    found: Rows | Results,
    *,
    choices: Choices,
    params: Params,
    engine: str = "fast",
    protocol: str = "coco",
) -> Evaluation:
    """The same of what was read before, with the same `iou` as `choices` has."""
    case, matching = build_case(truth, found, choices)
    names = [truth.category_names[i] for i in case.categories.tolist()]
    if protocol == "lvis":
        metrics, classes = run_lvis(case, choices.iou)
        return Evaluation(
            case, matching, params, choices.iou, "hotcoco", metrics, classes, None, found
        )
    curves = run(case, params, engine=engine, iou=choices.iou)
    slow = engine == "pycocotools" or choices.iou in BY_PYCOCOTOOLS
    summarised = keypoint_summary if choices.iou == "keypoints" else summary
    return Evaluation(
        case=case,
        matching=matching,
        params=params,
        iou=choices.iou,
        engine="pycocotools" if slow else "hotcoco",
        metrics=summarised(curves, params),
        classes=per_class(curves, names, _counts(case)),
        curves=curves,
        found=found,
    )


def _counts(case: Case) -> Any:
    """(K, 2): objects that are no crowd, and detections, of each category that is compared."""
    truth, total = case.truth, len(case.truth.category_ids)
    single = np.isin(truth.image, case.images) & ~truth.crowd
    objects = np.bincount(truth.category[single], minlength=total)
    found = np.bincount(case.category, minlength=total)
    return np.stack([objects, found], 1)[case.categories]


def score_records(
    records: Iterable[Mapping[str, Any]],
    truth: Path | Mapping[str, Any],
    *,
    iou: str = "segm",
    engine: str = "pycocotools",
    categories: tuple[str, ...] | None = None,
) -> Evaluation:
    """Score predictions in memory: mappings of `image_id`, `category_id`, `score` and one of
    `segmentation` ({"size": [h, w], "counts": bytes or str}), `bbox` [x, y, w, h] and `keypoints`
    [x, y, v, ...].

    `truth` is a COCO json, loaded or not; the ids are its own. `categories`: names of the ground
    truth that count (None: all of it). The result has `metrics` (COCO's numbers) and `classes`
    (AP of each category). Raises UsageError.
    """
    if isinstance(truth, Path):
        known = read_coco(truth, iou=iou)
    else:
        known = parse_coco(dict(truth), "the ground truth", iou=iou)
    items = [dict(record) for record in records]
    for item in items:
        mask = item.get("segmentation")
        if isinstance(mask, dict) and isinstance(mask.get("counts"), bytes):
            item["segmentation"] = {**mask, "counts": mask["counts"].decode("ascii", "replace")}
    if iou not in KINDS:
        raise UsageError(f"iou {iou!r}; expected {', '.join(KINDS)}")
    found = results_of(items, "the predictions", iou=iou)
    return evaluate_loaded(
        known,
        found,
        choices=Choices(iou=iou, categories=categories),
        params=usual(iou),
        engine=engine,
    )
