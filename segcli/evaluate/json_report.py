"""The result as JSON, which docs/evaluation.md describes."""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from segcli import __version__
from segcli.errors import GateNotMet, UsageError
from segcli.evaluate.bootstrap import Comparison
from segcli.evaluate.diagnosis import Diagnosis
from segcli.evaluate.evaluation import Evaluation

SCHEMA = 1


def as_json(
    evaluation: Evaluation,
    *,
    diagnosis: Diagnosis | None = None,
    comparison: Comparison | None = None,
) -> dict[str, Any]:
    """Undefined metrics (no object of such a size) are null, not -1."""
    case, matching = evaluation.case, evaluation.matching
    where = evaluation.found.where if evaluation.found else None
    result: dict[str, Any] = {
        "schema": SCHEMA,
        "segcli": __version__,
        "gt": case.truth.where,
        "pred": where,
        "iou": evaluation.iou,
        "engine": evaluation.engine,
        "engine_version": version(evaluation.engine),
        "max_dets": list(evaluation.params.max_dets),
        "area_ranges": [list(one) for one in evaluation.params.ranges],
        "images": len(case.images),
        "objects": sum(one.objects for one in evaluation.classes),
        "detections": len(case.scores),
        "metrics": {name: _known(value) for name, value in evaluation.metrics.items()},
        "categories": [
            {key: _known(value) for key, value in asdict(one).items()} for one in evaluation.classes
        ],
        "matching": asdict(matching),
    }
    if diagnosis is not None:
        result["errors"] = diagnosis.as_json()
        result["worst"] = [asdict(one) for one in diagnosis.worst]
    if comparison is not None:
        result["compare"] = asdict(comparison)
    return result


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and value < 0 else value


def gate(evaluation: Evaluation, conditions: list[tuple[str, float]]) -> None:
    """Raises GateNotMet if a metric is below its limit or undefined."""
    for name, _ in conditions:
        if name not in evaluation.metrics:
            raise UsageError(
                f"--fail-under {name}: there is no such metric; there are: "
                f"{', '.join(evaluation.metrics)}"
            )
    failed = [
        f"{name} is {evaluation.metrics[name]:.4f}, below {limit:g}"
        if evaluation.metrics[name] >= 0
        else f"{name} is undefined, because nothing in the ground truth counts for it"
        for name, limit in conditions
        if evaluation.metrics[name] < limit or evaluation.metrics[name] < 0
    ]
    if failed:
        raise GateNotMet("; ".join(failed))
