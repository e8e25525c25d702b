"""Training on the device: the losses of the first step beside the CPU's, and steps per second."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import fields, replace
from statistics import median
from typing import Any

import torch
from torch import Tensor

from scripts.gpu_check.place import Figures, Place, tf32
from segcli.models.device import resolve_device
from segcli.train.augment import Augmentation
from segcli.train.data import AnnotatedImage, DataSet, categories_of, read_dataset
from segcli.train.initial_model import begin, describe
from segcli.train.loader import load_epoch, plan_epoch
from segcli.train.loop import Progress, Training, train
from segcli.train.recipe import Recipe

_MODEL = "maskrcnn/lite2"
_BATCH = 8
_SHORT = (416, 416)
_STEPS = 40


class _Enough(Exception):
    """Ends a training after some steps."""


def check(place: Place) -> Figures:
    if place.data is None:
        yield "left out", "no --data with coco80_val"
        return
    folder = place.data / "coco80_val"
    data = DataSet(folder / "images", folder / "annotations.json")
    names, ids = categories_of([data.annotations])
    info = describe(_MODEL, names, ids, (416, 704))
    rows = [replace(row, weight=8.0) for row in read_dataset(data, names)]
    with tf32(convolutions=False, matrices=False):
        cpu, device = first_losses(info, rows, "cpu"), first_losses(info, rows, place.device)
    for name, value in cpu.items():
        yield f"first step: {name} on the CPU and on the device", f"{value:.6g}, {device[name]:.6g}"
    for precision in ("float32", "bfloat16"):
        model: Any = begin(info, None, seed=0).model
        recipe = Recipe(
            batch_size=2 if place.small else _BATCH,
            short=_SHORT,
            precision=precision,
            workers=1 if place.small else 8,
        )
        training = Training(rows, recipe, place.room / precision, resolve_device(place.device))
        yield (
            f"{precision}: steps/s",
            1 / step_seconds(model, training, 3 if place.small else _STEPS),
        )


def first_losses(info: Any, rows: list[AnnotatedImage], device: str) -> dict[str, float]:
    """Of two images; the samples that the losses draw depend on the device's random numbers."""
    model: Any = begin(info, None, seed=0).model.to(device).train()
    plans = plan_epoch(rows, batch_size=2, short=(256, 256), stride=info.stride, seed=0, epoch=0)
    plain = Augmentation.none()
    loaded = load_epoch(rows, plans[:1], augmentation=plain, seed=0, epoch=0, workers=1)
    batch, targets = next(iter(loaded))
    torch.manual_seed(0)
    losses: dict[str, Tensor] = model.losses(batch, [on(t, device) for t in targets])
    return {name: float(value.detach()) for name, value in losses.items()}


def on(targets: Any, device: str) -> Any:
    values = {f.name: getattr(targets, f.name) for f in fields(targets)}
    return type(targets)(**{k: v if v is None else v.to(device) for k, v in values.items()})


def step_seconds(model: Any, training: Training, steps: int) -> float:
    """The median time of a step, data included, without the first fifth."""
    times: list[float] = []

    def hear(progress: Progress) -> None:
        times.append(time.perf_counter())
        if progress.step >= steps:
            raise _Enough

    with suppress(_Enough):
        train(model, training, report=hear)
    gaps = [b - a for a, b in zip(times[:-1], times[1:], strict=True)]
    return median(gaps[len(gaps) // 5 :])
