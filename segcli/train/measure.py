"""Measure a model in training: AP on annotated images, and the default scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from segcli.errors import UsageError
from segcli.evaluate import Evaluation, read_coco, score_records
from segcli.evaluate.diagnosis import diagnose
from segcli.plugin import Segmenter
from segcli.train.results import coco_results
from segcli.train.sources import Validation

_SHOWN = 0.5  # a score for parts of the diagnosis that are not used here


@dataclass(frozen=True, slots=True)
class ClassScore:
    """Of one category: mask AP and AP50, -1 without an object; `best_score`: the F1-best one at
    IoU 0.5, None where nothing right was found."""

    name: str
    objects: int
    ap: float
    ap50: float
    best_score: float | None


@dataclass(frozen=True, slots=True)
class Measured:
    """A model on one set of images; `ap` and `ap50` are means over the categories with objects."""

    name: str
    ap: float
    ap50: float
    classes: tuple[ClassScore, ...]


def measure(
    model: Segmenter, validation: Validation, *, device: torch.device, precision: str
) -> Measured:
    """Predict and compare, for the categories that both the model and the annotations have.

    The model is put into eval mode and left there. Raises UsageError for unreadable images, and
    where no category is common.
    """
    info = model.info
    known = set(read_coco(validation.annotations, need_masks=False).category_names)
    if validation.categories is not None:
        known &= validation.categories
    common = tuple(name for name in info.categories if name in known)
    if not common:
        raise UsageError(
            f"{validation.annotations} has none of the categories {', '.join(info.categories)}"
        )
    ids = {info.category_ids[info.categories.index(name)] for name in common}
    results = coco_results(
        model, validation.images, validation.annotations, device=device, precision=precision
    )
    compared = [result for result in results if result["category_id"] in ids]
    scored, shown = _scored(compared, validation.annotations, common, info.keypoints is not None)
    best = {one.name: one.score for one in diagnose(shown, min_score=_SHOWN).best_scores}
    classes = tuple(
        ClassScore(entry.name, entry.objects, entry.ap, entry.ap50, best[entry.name])
        for entry in scored.classes
    )
    return Measured(validation.name, scored.metrics["AP"], scored.metrics["AP50"], classes)


def _scored(
    results: Sequence[Mapping[str, Any]],
    truth: Path,
    common: tuple[str, ...],
    keypoints: bool,
) -> tuple[Evaluation, Evaluation]:
    """The evaluation of masks, or keypoints, whose AP counts, and one by the column `score`, for
    which a default score is wanted; of a model for keypoints by its boxes."""
    if keypoints:
        scored = score_records(results, truth, iou="keypoints", categories=common)
        return scored, score_records(results, truth, iou="bbox", categories=common)
    shown = score_records(results, truth, categories=common)
    if all(result["mask_score"] is None for result in results):
        return shown, shown
    rated = [{**result, "score": result["mask_score"]} for result in results]
    return score_records(rated, truth, categories=common), shown


def best_scores(measured: Sequence[Measured]) -> Mapping[str, float]:
    """Per category the F1-best score on the set that has most objects of it."""
    chosen: dict[str, ClassScore] = {}
    for one in measured:
        for entry in one.classes:
            if entry.best_score is not None and (
                entry.name not in chosen or entry.objects > chosen[entry.name].objects
            ):
                chosen[entry.name] = entry
    return {name: float(entry.best_score or 0.0) for name, entry in chosen.items()}
