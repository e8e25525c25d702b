"""What to improve: the cost of each kind of error, of classes and images, and the best scores.

Here, a detection is right if it finds an object of its category with an IoU of at least 0.5.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.errors import UsageError
from segcli.evaluate.engines import BY_PYCOCOTOOLS, fast_evaluator, object_indices, translated
from segcli.evaluate.evaluation import Evaluation
from segcli.evaluate.matched import Case
from segcli.evaluate.tide import tide

WORST = 20
MEANING = MappingProxyType(
    {
        "classification": "right place, wrong class",
        "localisation": "right class, too loose (IoU 0.1 to 0.5)",
        "both": "too loose, and of the wrong class",
        "duplicate": "a second detection of an object",
        "background": "there is no object",
        "missed": "an object without any detection",
    }
)
"""The meaning of each TIDE error."""
_NO_OBJECT = "background"
_NOT_FOUND = "missed"


@dataclass(frozen=True, slots=True)
class BestScore:
    """The score threshold with the best F1 for one category; None if nothing can be right."""

    name: str
    score: float | None
    f1: float
    precision: float
    recall: float


@dataclass(frozen=True, slots=True)
class WorstImage:
    """`missed_px`: the area of objects that were not found; `false_px`: of false detections."""

    key: str
    missed: int
    missed_px: float
    false: int
    false_px: float


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """`tide`: error -> (points of AP50 gained by fixing it, number of errors).

    `confusion` (K + 1, K + 1): rows are what the objects are (last: no object), columns what was
    found (last: nothing), at `min_score`. `calibration`: hotcoco's bins of score.
    """

    min_score: float
    tide: dict[str, tuple[float, int]]
    names: list[str]
    confusion: list[list[int]]
    calibration: dict[str, Any]
    best_scores: list[BestScore]
    costs: list[float]
    worst: list[WorstImage]

    def as_json(self) -> dict[str, Any]:
        return {
            "iou": 0.5,
            "min_score": self.min_score,
            "tide": {k: {"points": ap, "count": n} for k, (ap, n) in self.tide.items()},
            "confusion": {
                "rows": [*self.names, _NO_OBJECT],
                "columns": [*self.names, _NOT_FOUND],
                "counts": self.confusion,
            },
            "calibration": self.calibration,
            "best_scores": [asdict(one) for one in self.best_scores],
            "costs": dict(zip(self.names, self.costs, strict=True)),
        }


def diagnose(evaluation: Evaluation, *, min_score: float) -> Diagnosis:
    """`min_score`: what people get to see, for the confusion matrix and the worst images.

    Raises UsageError for boundaries and keypoints, of which only the summary is known.
    """
    case = evaluation.case
    if evaluation.iou in BY_PYCOCOTOOLS or evaluation.curves is None:
        raise UsageError("--errors and --plots need --iou segm or bbox and the COCO protocol")
    evaluator = fast_evaluator(case, evaluation.params, evaluation.iou)
    with translated("hotcoco"):
        matrix = evaluator.confusion_matrix(iou_thr=0.5, min_score=min_score)["matrix"]
        calibration = evaluator.calibration()
        found = evaluator.image_diagnostics(iou_thr=0.5, score_thr=0.0)
    right = np.array([found["dt_status"].get(i + 1) == "tp" for i in range(len(case.scores))], bool)
    wrong = np.array([found["dt_status"].get(i + 1) == "fp" for i in range(len(case.scores))], bool)
    return Diagnosis(
        min_score=min_score,
        tide=tide(case, evaluation.iou, most=evaluation.params.max_dets[-1]),
        names=[one.name for one in evaluation.classes],
        confusion=_of_interest(case, matrix),
        calibration={
            "expected_error": calibration["ece"],
            "largest_error": calibration["mce"],
            "bins": calibration["bins"],
        },
        best_scores=_best_scores(case, right, wrong),
        costs=_costs(evaluation),
        worst=_worst_images(case, found["gt_match"], wrong, min_score),
    )


def _of_interest(case: Case, matrix: NDArray[np.uint64]) -> list[list[int]]:
    """The rows and columns of the categories that are compared, and the last of each."""
    total = len(case.truth.category_ids)
    if len(matrix) == total + 1:
        kept = [*case.categories.tolist(), total]
        matrix = matrix[np.ix_(kept, kept)]
    rows: list[list[int]] = matrix.astype(int).tolist()
    return rows


def _costs(evaluation: Evaluation) -> list[float]:
    """Points of AP that each category keeps from 100; 0 where it has no object."""
    counted = sum(one.ap >= 0 for one in evaluation.classes)
    return [100 * (1 - one.ap) / counted if one.ap >= 0 else 0.0 for one in evaluation.classes]


def _best_scores(case: Case, right: NDArray[np.bool_], wrong: NDArray[np.bool_]) -> list[BestScore]:
    truth = case.truth
    objects = object_indices(case)
    single = objects[~truth.crowd[objects]]
    found = []
    for category in case.categories.tolist():
        own = case.category == category
        total = int((truth.category[single] == category).sum())
        found.append(
            _best_score(
                truth.category_names[category],
                case.scores[own & (right | wrong)],
                right[own & (right | wrong)],
                total,
            )
        )
    return found


def _best_score(
    name: str, scores: NDArray[np.float64], right: NDArray[np.bool_], total: int
) -> BestScore:
    """Equal scores stand or fall together, so only the last of them is a candidate."""
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], np.cumsum(right[order])
    if not total or not len(hits) or not hits[-1]:
        return BestScore(name, None, 0.0, 0.0, 0.0)
    taken = np.arange(1, len(hits) + 1)
    f1 = 2 * hits / (taken + total)
    f1[:-1][scores[:-1] == scores[1:]] = -1.0
    best = int(np.argmax(f1))
    precision, recall = hits[best] / taken[best], hits[best] / total
    return BestScore(name, float(scores[best]), float(f1[best]), float(precision), float(recall))


def _worst_images(
    case: Case, match: dict[int, int], wrong: NDArray[np.bool_], min_score: float
) -> list[WorstImage]:
    """Images by missed and false area, at `min_score`, worst first; none that is faultless."""
    truth, total = case.truth, len(case.truth.image_ids)
    objects = object_indices(case)
    objects = objects[~truth.crowd[objects]]
    partner = np.array([match.get(i + 1, 0) for i in objects.tolist()], np.int64)
    seen = np.concatenate(([0.0], case.scores))[partner] >= min_score
    lost = objects[(partner == 0) | ~seen]
    bad = np.flatnonzero(wrong & (case.scores >= min_score))
    missed = np.bincount(truth.image[lost], minlength=total)
    missed_px = np.bincount(truth.image[lost], truth.areas[lost], minlength=total)
    false = np.bincount(case.image[bad], minlength=total)
    false_px = np.bincount(case.image[bad], case.areas[bad], minlength=total)
    order = np.argsort(-(missed_px + false_px), kind="stable")[:WORST].tolist()
    return [
        WorstImage(
            case.keys[i] or truth.names[i],
            int(missed[i]),
            float(missed_px[i]),
            int(false[i]),
            float(false_px[i]),
        )
        for i in order
        if missed[i] or false[i]
    ]
