"""Detections of all arms on annotated images, and what they are worth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from segcli.evaluate import Evaluation, score_records
from segcli.evaluate.bootstrap import compare
from segcli.images import decode
from segcli.images.batch import collate, fit
from segcli.masks.sampling import segments
from segcli.train.data import image_path, read_annotations
from segcli.train.results import MAX_MASKS, MIN_SCORE
from segcli.train.sources import Validation
from segcli.types import Batch, Instances
from segcli_blocks.rcnn.box_head import Detections
from segcli_blocks.rcnn.mask_head import at_class
from segcli_blocks.rcnn.two_stage import TwoStage
from segcli_blocks.segmenter import Selection

# What is measured: a name, the model, and how its masks are made or ranked.
WAYS = (
    ("maskrcnn", "maskrcnn", ""),
    ("cascade", "cascade", ""),
    ("pointrend", "pointrend", ""),
    ("pointrend, coarse head alone", "pointrend", "coarse"),
    ("pointrend, 28 x 28 points", "pointrend", "grid"),
    ("maskscoring", "maskscoring", ""),
    ("maskscoring, ranked by class", "maskscoring", ""),
)
BASELINES = {
    "pointrend, coarse head alone": "pointrend",
    "pointrend, 28 x 28 points": "pointrend",
    "maskscoring, ranked by class": "maskscoring",
}
Records = list[dict[str, Any]]


def detections(models: Mapping[str, TwoStage], validation: Validation) -> dict[str, Records]:
    """COCO results of every way; body, pyramid and proposals are computed once per image."""
    for model in models.values():
        model.eval()
    base = models["maskrcnn"]
    truth = read_annotations(validation.annotations)
    ways = [way for way in WAYS if way[1] in models]
    found: dict[str, Records] = {name: [] for name, _, _ in ways}
    wanted = validation.categories or frozenset(base.info.categories)
    labels = frozenset(i for i, name in enumerate(base.info.categories) if name in wanted)
    selection = Selection(MIN_SCORE, MAX_MASKS, labels)
    for number, name in zip(truth.image_ids.tolist(), truth.names, strict=True):
        path = image_path(validation.images, name, validation.annotations)
        image = fit(decode(path.read_bytes(), key=path.name), base.info)
        batch = collate([image], base.info)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            maps, scored = base.first_stage(batch)
            proposals = base.rpn.propose(scored, batch.content_sizes)
            boxes = {
                arm: model.roi_heads.detect(maps, proposals, batch.content_sizes, selection)
                for arm, model in models.items()
            }
            for way, arm, how in ways:
                answer = _answer(models[arm], maps, boxes[arm], batch, how)
                found[way] += _records(answer, number, base, batch, "ranked by class" in way)
    return found


def _answer(
    model: TwoStage, maps: list[Tensor], found: list[Detections], batch: Batch, how: str
) -> Instances:
    heads: Any = model.roi_heads
    labels, scores = found[0].labels, found[0].scores
    fields, rated = maps[0].new_zeros((0, 28, 28), dtype=torch.float32), None
    if len(labels):
        boxes = [f.boxes for f in found]
        if how == "coarse":
            of = heads.classes[labels]
            fields = at_class(heads.coarse(maps[0], boxes), of, agnostic=True).sigmoid()
        elif how == "grid":
            published = heads.sampling
            heads.sampling = replace(published, steps=2)  # of two, both double the coarse mask
            fields, rated = heads.masks(maps, boxes, labels, scores)
            heads.sampling = published
        else:
            fields, rated = heads.masks(maps, boxes, labels, scores)
    return model.instances(found, fields, rated, batch)[0]


def _records(
    found: Instances, image: int, model: TwoStage, batch: Batch, by_class: bool
) -> Iterator[dict[str, Any]]:
    height, width = batch.image_sizes[0]
    sizes = {"content_size": batch.content_sizes[0], "image_size": batch.image_sizes[0]}
    for segment in segments(found, **sizes):
        rated = segment.mask_score is not None and not by_class
        yield {
            "image_id": image,
            "category_id": model.info.category_ids[segment.label],
            "segmentation": {"size": [height, width], "counts": segment.rle.decode("ascii")},
            "bbox": list(segment.box),
            "score": segment.mask_score if rated else segment.score,
        }


def metrics(
    found: Mapping[str, Records], validation: Validation, *, resamples: int
) -> Iterator[dict[str, Any]]:
    """Of every way: COCO's numbers of masks, boxes and boundaries, and the paired difference from
    the way that it is compared with, with the 95 % interval of a bootstrap over images."""
    names = tuple(sorted(validation.categories)) if validation.categories else None
    done: dict[tuple[str, str], Evaluation] = {}
    for way, records in found.items():
        row: dict[str, Any] = {"set": validation.name, "way": way}
        for iou in ("segm", "bbox", "boundary"):
            one = score_records(
                records, validation.annotations, iou=iou, engine="fast", categories=names
            )
            done[way, iou] = one
            row[iou] = {k: v for k, v in one.metrics.items() if k.startswith("AP")}
            row["objects"] = {entry.name: entry.objects for entry in one.classes}
        baseline = BASELINES.get(way, "maskrcnn")
        if way != baseline:
            row["baseline"] = baseline
            for iou in ("segm", "bbox"):
                both = compare(
                    done[way, iou], done[baseline, iou], other=baseline, resamples=resamples
                )
                row[f"{iou} difference"] = {
                    k: [d.difference, d.low, d.high]
                    for k, d in both.differences.items()
                    if k.startswith("AP")
                }
        yield row
