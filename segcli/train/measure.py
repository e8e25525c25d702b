"""Measure a model in training: AP on annotated images, and the default scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from segcli.errors import UsageError
from segcli.evaluate import read_coco, score_records
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
    known = set(read_coco(validation.annotations).category_names)
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
    by_class = score_records(compared, validation.annotations, categories=common)
    scored = by_class  # AP is of the masks' own scores; a default score is one for the column score
    if any(result["mask_score"] is not None for result in compared):
        rated = [{**result, "score": result["mask_score"]} for result in compared]
        scored = score_records(rated, validation.annotations, categories=common)
    best = {one.name: one.score for one in diagnose(by_class, min_score=_SHOWN).best_scores}
    classes = tuple(
        ClassScore(entry.name, entry.objects, entry.ap, entry.ap50, best[entry.name])
        for entry in scored.classes
    )
    return Measured(validation.name, scored.metrics["AP"], scored.metrics["AP50"], classes)


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
