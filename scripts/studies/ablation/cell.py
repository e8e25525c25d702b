"""One cell of the ablation: train a model from one seed, and measure it."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from scripts.studies.ablation.inside import inside_figures
from scripts.studies.ablation.measures import Masks, counted
from segcli.annotations.columns import load_json
from segcli.evaluate import score_records
from segcli.masks import rle
from segcli.masks.sampling import segments
from segcli.plugin import Trainable
from segcli.train.augment import Augmentation
from segcli.train.data import DataSet, categories_of, read_dataset
from segcli.train.loader import BatchPlan, load_epoch
from segcli.types import Batch, Targets

Item = tuple[Batch, Targets]
MIN_SCORE, MAX_MASKS = 0.05, 100


@dataclass(frozen=True, slots=True)
class Budget:
    """What every model gets."""

    steps: int
    batch: int
    rate: float
    side: int  # px of the square canvas


@dataclass(frozen=True, slots=True)
class Data:
    """Images made once, for training and for measuring; `truth` is the COCO json of the latter."""

    train: list[Item]
    val: list[Item]
    truth: dict[str, Any]
    categories: tuple[str, ...]
    ids: tuple[int, ...]


def load(
    train: Sequence[DataSet], val: DataSet, side: int, *, only: frozenset[str] | None = None
) -> Data:
    """Every image on a square canvas, without augmentation, so that features can be remembered.

    `only`: the categories to learn and to measure; all, where None.
    """
    known = zip(*categories_of([d.annotations for d in (*train, val)]), strict=True)
    names, ids = zip(*((n, i) for n, i in known if only is None or n in only), strict=True)
    items = [item for dataset in train for item in _items(dataset, names, side)]
    truth = load_json(val.annotations)
    kept = {
        "categories": [c for c in truth["categories"] if c["id"] in ids],
        "annotations": [a for a in truth["annotations"] if a["category_id"] in ids],
    }
    return Data(items, _items(val, names, side), {**truth, **kept}, names, ids)


def _items(dataset: DataSet, names: tuple[str, ...], side: int) -> list[Item]:
    rows = read_dataset(dataset, names)
    plans = [BatchPlan((i,), (side, side)) for i in range(len(rows))]
    pairs = load_epoch(rows, plans, augmentation=Augmentation.none(), seed=0, epoch=0, workers=1)
    return [(batch, targets[0]) for batch, targets in pairs]


def joined(items: Sequence[Item], *, mirrored: bool) -> tuple[Batch, list[Targets]]:
    """One batch; `mirrored` turns it round, content and all."""
    pixels = torch.cat([batch.pixels for batch, _ in items])
    contents = tuple(batch.content_sizes[0] for batch, _ in items)
    targets = [target for _, target in items]
    side = pixels.shape[3]
    if mirrored and all(w == side for _, w in contents):
        pixels = pixels.flip(3)
        targets = [_mirrored(target, side) for target in targets]
    keys = tuple(str(i) for i in range(len(items)))
    return Batch(keys, pixels, contents, contents), targets


def _mirrored(target: Targets, side: int) -> Targets:
    x, y, x2, y2 = target.boxes.unbind(1)
    boxes = torch.stack((side - x2, y, side - x, y2), 1)
    return replace(target, boxes=boxes, masks=target.masks.flip(2))


def train(model: Trainable, data: Data, budget: Budget, seed: int) -> dict[str, float]:
    """AdamW, a short warm-up, a cosine; the same order of images for every model of a seed."""
    assert isinstance(model, nn.Module)
    learned = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=budget.rate, weight_decay=0.01)
    rng = np.random.default_rng(seed)
    device = next(model.parameters()).device
    start, recent = time.process_time(), {}
    order: list[int] = []
    for step in range(budget.steps):
        if len(order) < budget.batch:
            order = rng.permutation(len(data.train)).tolist()
        chosen, order = order[: budget.batch], order[budget.batch :]
        mirrored = bool(rng.random() < 0.5)
        batch, targets = joined([data.train[i] for i in chosen], mirrored=mirrored)
        share = min(1.0, (step + 1) / 30) * 0.5 * (1 + math.cos(math.pi * step / budget.steps))
        for group in optimizer.param_groups:
            group["lr"] = budget.rate * share
        torch.manual_seed(seed * 1_000_003 + step)
        model.train()
        losses = model.losses(batch, [_to(t, device) for t in targets])
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        nn.utils.clip_grad_norm_(learned, 5.0)
        optimizer.step()
        if (step + 1) % 50 == 0:
            told = ", ".join(f"{name} {value:.3f}" for name, value in recent.items())
            print(f"  step {step + 1}: {told}", flush=True)
        for name, loss in losses.items():
            recent[name] = 0.95 * recent.get(name, float(loss.detach())) + 0.05 * float(
                loss.detach()
            )
    return {
        "train_cpu_s": time.process_time() - start,
        **{f"loss_{k}": v for k, v in recent.items()},
    }


def _to(target: Targets, device: torch.device) -> Targets:
    moved = {f.name: getattr(target, f.name) for f in fields(target)}
    return replace(target, **{k: v.to(device) for k, v in moved.items() if v is not None})


def measure(model: Trainable, data: Data) -> dict[str, Any]:
    """COCO's numbers of the masks, what `counted` tells, and milliseconds per image."""
    assert isinstance(model, nn.Module)
    model.eval()
    # On a CPU that others use as well, only its own time tells anything.
    on_cpu = next(model.parameters()).device.type == "cpu"
    clock = time.process_time if on_cpu else time.perf_counter
    records, pairs, seconds = [], [], []
    for image, (batch, target) in zip(data.truth["images"], data.val, strict=True):
        start = clock()
        (found,) = model.predict(batch, min_score=MIN_SCORE, max_masks=MAX_MASKS)
        found.scores.tolist()  # waits for the device
        seconds.append(clock() - start)
        size = (int(image["height"]), int(image["width"]))
        content = batch.content_sizes[0]
        kept = segments(found, content_size=content, image_size=size)
        records += [_record(segment, image["id"], data.ids, size) for segment in kept]
        kept = (
            segments(found, content_size=content, image_size=content) if size != content else kept
        )
        pairs.append((_masks(kept, content), _true(target, content)))
    metrics = dict.fromkeys(("AP", "AP50", "AP75", "APs", "APm", "APl"), 0.0)
    if records:
        metrics |= score_records(records, data.truth, engine="fast").metrics
    return {
        **{k: float(v) for k, v in metrics.items() if k.startswith("AP")},
        **counted(pairs),
        "predict_ms": 1000 * float(np.median(seconds)),
        **inside_figures(model.cpu(), data.val),
    }


def _record(segment: Any, image_id: int, ids: tuple[int, ...], size: tuple[int, int]) -> Any:
    return {
        "image_id": image_id,
        "category_id": ids[segment.label],
        "segmentation": {"size": list(size), "counts": segment.rle.decode("ascii")},
        "bbox": list(segment.box),
        "score": segment.score,
    }


def _masks(kept: Sequence[Any], size: tuple[int, int]) -> Masks:
    masks = [rle.decode(segment.rle, *size) for segment in kept]
    return Masks(
        np.array([segment.label for segment in kept], np.int64),
        np.stack(masks) if masks else np.zeros((0, *size), np.bool_),
        np.array([segment.score for segment in kept], np.float64),
    )


def _true(target: Targets, content: tuple[int, int]) -> Masks:
    masks = target.masks[:, : content[0], : content[1]]
    kept = ~target.crowd & masks.any(2).any(1)
    count = int(kept.sum())
    return Masks(target.labels[kept].numpy(), masks[kept].numpy(), np.ones(count))


def scenes(folder: Path) -> DataSet:
    """What make_scenes wrote."""
    return DataSet(folder / "images", folder / "annotations.json")
