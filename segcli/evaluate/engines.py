"""The evaluators: hotcoco, which is fast, and pycocotools, which is the reference.

Both get the same numbers in memory, without files, and give the same arrays to the last bit, which
is tested. pycocotools also computes boundary IoU, which hotcoco does not have, and OKS.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.errors import UsageError
from segcli.evaluate.keypoints import object_fields, sigmas
from segcli.evaluate.matched import Case

FARTHEST = 1e10  # px; COCO's "no upper limit"
RANGES = (("small", 0.0, 32.0**2), ("medium", 32.0**2, 96.0**2), ("large", 96.0**2, FARTHEST))
ENGINES = ("fast", "pycocotools")
BY_PYCOCOTOOLS = ("boundary", "keypoints")  # under either engine


@dataclass(frozen=True, slots=True)
class Params:
    """`max_dets` per image and category, ascending; `ranges` of area (label, from, to), px."""

    max_dets: tuple[int, ...] = (1, 10, 100)
    ranges: tuple[tuple[str, float, float], ...] = RANGES

    @property
    def all_ranges(self) -> list[list[float]]:
        return [[0.0, FARTHEST], *([low, high] for _, low, high in self.ranges)]


@dataclass(frozen=True, slots=True)
class Curves:
    """T IoU thresholds, R = 101 recalls, K categories, A ranges of area (0: all), M max_dets.

    `precision` and `scores` (T, R, K, A, M), `recall` (T, K, A, M); -1 where no object is.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    scores: NDArray[np.float64]


def run(case: Case, params: Params, *, engine: str = "fast", iou: str = "segm") -> Curves:
    """Raises UsageError if the evaluator refuses its input."""
    if iou in BY_PYCOCOTOOLS or engine == "pycocotools":
        return _run_judge(case, params, iou)
    evaluator = fast_evaluator(case, params, iou)
    found = evaluator.eval
    return Curves(found["precision"], found["recall"], found["scores"])


def fast_evaluator(case: Case, params: Params, iou: str) -> Any:
    """A hotcoco.COCOeval that has evaluated and accumulated.

    Detection i of the case has the id i + 1; images and categories are numbered from 1 as well.
    """
    import hotcoco

    with translated("hotcoco"):
        truth = _fast_truth(hotcoco, case, iou)
        evaluator = hotcoco.COCOeval(truth, detections(truth, case, iou), iou)
        asked = evaluator.params
        asked.img_ids = (case.images + 1).tolist()
        asked.cat_ids = (case.categories + 1).tolist()
        asked.max_dets = list(params.max_dets)
        asked.area_rng = params.all_ranges
        asked.area_rng_lbl = ["all", *(label for label, _, _ in params.ranges)]
        evaluator.evaluate()
        evaluator.accumulate()
    return evaluator


def _fast_truth(hotcoco: Any, case: Case, iou: str) -> Any:
    truth, index = case.truth, object_indices(case)
    return hotcoco.COCO.from_arrays(
        image_dicts(case),
        category_dicts(case),
        truth.image[index] + 1,
        truth.category[index] + 1,
        truth.boxes[index],
        ids=index + 1,
        area=truth.areas[index],
        iscrowd=truth.crowd[index].astype(np.int64),
        segmentation=None if iou == "bbox" else [truth.outlines[i] for i in index.tolist()],
    )


def detections(truth: Any, case: Case, iou: str) -> Any:
    """The columns that hotcoco takes: image, x, y, w, h, score, category."""
    if not len(case.scores):
        return truth.load_res(np.zeros((0, 7)))
    columns = np.column_stack([case.image + 1, case.boxes, case.scores, case.category + 1])
    if iou == "bbox":
        return truth.load_res(columns)
    found = truth.load_res(columns, segmentation=_mask_dicts(case))
    # Where there are boxes hotcoco, as pycocotools, would take their areas for those of the masks.
    found.update_anns(ids=np.arange(1, len(case.areas) + 1), area=case.areas)
    return found


def _run_judge(case: Case, params: Params, iou: str) -> Curves:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    from segcli.evaluate.boundary import boundary_evaluator

    with translated("pycocotools"), contextlib.redirect_stdout(io.StringIO()):
        truth, found = COCO(), COCO()
        truth.dataset = {
            "images": image_dicts(case),
            "categories": category_dicts(case),
            "annotations": _judge_objects(case, iou),
        }
        found.dataset = {**truth.dataset, "annotations": _judge_found(case, iou)}
        truth.createIndex()
        found.createIndex()
        kind = boundary_evaluator() if iou == "boundary" else COCOeval
        evaluator = kind(truth, found, "segm" if iou == "boundary" else iou)
        evaluator.params.imgIds = (case.images + 1).tolist()
        evaluator.params.catIds = (case.categories + 1).tolist()
        evaluator.params.maxDets = list(params.max_dets)
        evaluator.params.areaRng = params.all_ranges
        evaluator.params.areaRngLbl = ["all", *(label for label, _, _ in params.ranges)]
        if case.points is not None:
            evaluator.params.kpt_oks_sigmas = sigmas(case.truth, case.categories, case.count)
        evaluator.evaluate()
        evaluator.accumulate()
    found_curves = evaluator.eval
    return Curves(found_curves["precision"], found_curves["recall"], found_curves["scores"])


def _judge_objects(case: Case, iou: str) -> list[dict[str, Any]]:
    truth, count = case.truth, case.count
    items = [
        {
            "id": i + 1,  # never 0: pycocotools takes an object of id 0 for one without a match
            "image_id": int(truth.image[i]) + 1,
            "category_id": int(truth.category[i]) + 1,
            "bbox": truth.boxes[i].tolist(),
            "area": float(truth.areas[i]),
            "iscrowd": int(truth.crowd[i]),
        }
        for i in object_indices(case).tolist()
    ]
    for item in items:
        if iou == "keypoints":
            item |= object_fields(truth, item["id"] - 1, count)
        elif iou != "bbox":
            item["segmentation"] = truth.outlines[item["id"] - 1]
    return items


def _judge_found(case: Case, iou: str) -> list[dict[str, Any]]:
    boxes, areas, scores = case.boxes.tolist(), case.areas.tolist(), case.scores.tolist()
    items: list[dict[str, Any]] = [
        {
            "id": i + 1,
            "image_id": int(case.image[i]) + 1,
            "category_id": int(case.category[i]) + 1,
            "bbox": boxes[i],
            "area": areas[i],
            "iscrowd": 0,
            "score": scores[i],
        }
        for i in range(len(scores))
    ]
    if case.points is not None:
        for item, xys in zip(items, case.points.xys, strict=True):
            item["keypoints"] = xys.ravel().tolist()
    elif iou != "bbox":
        for item, mask in zip(items, _mask_dicts(case), strict=True):
            item["segmentation"] = mask
    return items


def _mask_dicts(case: Case) -> list[dict[str, Any]]:
    assert case.masks is not None, "masks are read when they are compared"
    sizes = case.truth.sizes[case.image].tolist()
    return [
        {"size": size, "counts": text} for size, text in zip(sizes, case.masks.texts(), strict=True)
    ]


def object_indices(case: Case) -> NDArray[np.int64]:
    """Indices of the objects that count."""
    truth = case.truth
    counted = np.isin(truth.image, case.images) & np.isin(truth.category, case.categories)
    return np.flatnonzero(counted)


def image_dicts(case: Case) -> list[dict[str, Any]]:
    return [
        {"id": i + 1, "height": tall, "width": wide, "file_name": name}
        for i, ((tall, wide), name) in enumerate(
            zip(case.truth.sizes.tolist(), case.truth.names, strict=True)
        )
    ]


def category_dicts(case: Case) -> list[dict[str, Any]]:
    return [{"id": i + 1, "name": name} for i, name in enumerate(case.truth.category_names)]


@contextlib.contextmanager
def translated(name: str) -> Any:
    """Translate errors of an evaluator about input that no check has refused."""
    try:
        yield
    except (ValueError, KeyError, TypeError, RuntimeError, OverflowError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        other = "pycocotools" if name == "hotcoco" else "fast"
        raise UsageError(f"{name} cannot evaluate this: {reason}; try --engine {other}") from error
