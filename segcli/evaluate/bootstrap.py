"""The difference of two runs on the same ground truth, with its confidence interval."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from segcli.errors import UsageError
from segcli.evaluate.engines import BY_PYCOCOTOOLS, fast_evaluator, run, translated
from segcli.evaluate.evaluation import Evaluation
from segcli.evaluate.scores import summary

RESAMPLES = 200


@dataclass(frozen=True, slots=True)
class Difference:
    """`first` minus `second` of one number, and the 95 % interval of that over images."""

    first: float
    second: float
    difference: float
    low: float
    high: float

    @property
    def certain(self) -> bool:
        """The interval leaves out zero."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class Comparison:
    other: str
    images: int
    categories: list[str]
    resamples: int
    differences: dict[str, Difference]


def compare(
    first: Evaluation, second: Evaluation, *, other: str, resamples: int = RESAMPLES, seed: int = 42
) -> Comparison:
    """Paired: each of `resamples` draws the same images, with repetition, for both runs.

    Only images and categories that both evaluations count are compared. Raises UsageError if
    there is none, and for what hotcoco does not support (boundaries, keypoints, LVIS).
    """
    if first.curves is None or second.curves is None or first.iou in BY_PYCOCOTOOLS:
        raise UsageError("--compare needs --iou segm or bbox and the COCO protocol")
    images = np.intersect1d(first.case.images, second.case.images)
    categories = np.intersect1d(first.case.categories, second.case.categories)
    if not len(images) or not len(categories):
        raise UsageError(f"the two runs have no common image and category: {other}")
    import hotcoco

    cases = [replace(one.case, images=images, categories=categories) for one in (first, second)]
    params, iou = first.params, first.iou
    own, theirs = (summary(run(case, params, iou=iou), params) for case in cases)
    evaluators = [fast_evaluator(case, params, iou) for case in cases]
    with translated("hotcoco"):
        found = hotcoco.compare(evaluators[1], evaluators[0], n_bootstrap=resamples, seed=seed)
    names = first.case.truth.category_names
    differences = {}
    for name, value in own.items():
        around = found["ci"].get(_hotcoco_name(name))
        if around is None or value < 0 or theirs[name] < 0:
            continue
        differences[name] = Difference(
            value, theirs[name], value - theirs[name], around["lower"], around["upper"]
        )
    return Comparison(
        other, len(images), [names[i] for i in categories.tolist()], resamples, differences
    )


def _hotcoco_name(name: str) -> str:
    """Custom ranges of area: ours are AP_tiny, hotcoco's APtiny."""
    return name.replace("_", "")
