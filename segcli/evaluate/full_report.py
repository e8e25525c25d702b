"""An evaluation with its diagnosis, and its files: JSON, plots, an HTML page."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from segcli.errors import UsageError
from segcli.evaluate.bootstrap import RESAMPLES, Comparison, compare
from segcli.evaluate.diagnosis import Diagnosis, diagnose
from segcli.evaluate.engines import BY_PYCOCOTOOLS, Params
from segcli.evaluate.evaluation import Evaluation, evaluate, evaluate_loaded
from segcli.evaluate.json_report import as_json
from segcli.evaluate.matched import Choices
from segcli.evaluate.matching_summary import sentences
from segcli.evaluate.predictions import read_found
from segcli.files import write_text

_MIN_SCORE = 0.5  # of the diagnosis, where the output has no default score


@dataclass(frozen=True, slots=True)
class FullReport:
    """`matching` says in sentences what was compared and what was not; `diagnosis` and
    `comparison` are None unless they were asked for."""

    evaluation: Evaluation
    matching: list[str]
    diagnosis: Diagnosis | None = None
    comparison: Comparison | None = None

    def with_comparison(
        self, other: Path, *, choices: Choices, resamples: int = RESAMPLES
    ) -> FullReport:
        """`other` is the output of another run on the same ground truth, or its COCO results.

        Raises UsageError.
        """
        first = self.evaluation
        found = read_found(other, iou=choices.iou, static=choices.static)
        second = evaluate_loaded(first.case.truth, found, choices=choices, params=first.params)
        compared = compare(first, second, other=str(other), resamples=resamples)
        return replace(self, comparison=compared)

    def as_json(self) -> dict[str, Any]:
        return as_json(self.evaluation, diagnosis=self.diagnosis, comparison=self.comparison)

    def write(
        self, *, json_file: Path | None = None, plots: Path | None = None, html: Path | None = None
    ) -> int:
        """Write the files that have a name; returns how many plots there are. Raises OutputError.

        `plots` is a folder. Without a diagnosis there are no plots.
        """
        content = self.as_json()
        if json_file is not None:
            write_text(json_file, json.dumps(content, indent=1, allow_nan=False) + "\n")
        if plots is None and html is None:
            return 0
        from segcli.evaluate.html_report import write_page
        from segcli.evaluate.plots import draw, save

        pictures = {} if self.diagnosis is None else draw(self.evaluation, self.diagnosis)
        if plots is not None:
            save(pictures, plots)
        if html is not None:
            write_page(html, content, matching=self.matching, pictures=pictures)
        return len(pictures)


def full_report(
    gt: Path,
    pred: Path,
    *,
    choices: Choices,
    params: Params,
    engine: str = "fast",
    protocol: str = "coco",
    explain: bool | None = None,
    min_score: float | None = None,
) -> FullReport:
    """Evaluate as `evaluate` does; a comparison can be added.

    `explain`: with a diagnosis; None: where it is possible, which is not for LVIS, boundaries and
    keypoints. `min_score` is the score from which on people see masks (None: the model's default
    score). Raises UsageError.
    """
    possible = protocol == "coco" and choices.iou not in BY_PYCOCOTOOLS
    if explain and not possible:
        raise UsageError("--errors and --plots need --iou segm or bbox and the COCO protocol")
    result = evaluate(gt, pred, choices=choices, params=params, engine=engine, protocol=protocol)
    diagnosis = None
    if possible and explain is not False:
        if min_score is None:
            min_score = getattr(result.found, "default_score", None)
        diagnosis = diagnose(result, min_score=_MIN_SCORE if min_score is None else min_score)
    return FullReport(result, sentences(result.matching, missing=choices.missing), diagnosis)
