"""The steps of `segcli train`: data, model, loop, validations, weights."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from segcli.cli.options import comma_list
from segcli.errors import SegcliError, UsageError
from segcli.models.device import available_devices, resolve_device, resolve_precision
from segcli.plurals import counted, with_count

if TYPE_CHECKING:
    import torch

    from segcli.cli.validation import Validator
    from segcli.train.data import AnnotatedImage
    from segcli.train.initial_model import InitialModel
    from segcli.train.loop import Training
    from segcli.train.parallel import Group
    from segcli.train.recipe import Recipe
    from segcli.train.sources import Sources
    from segcli.train.state import State

_SMALL = 200  # the minimum number of samples per epoch without --repeats


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """The options of a training that are not in its recipe; `repeats` None: depends on the data."""

    sources: Sources
    out: Path
    model: str | None
    weights: str | None
    from_scratch: bool
    test_size: tuple[int, int] | None
    repeat_threshold: float
    repeats: int | None
    rescale: bool
    val_every: int
    patience: int
    device: str
    precision: str
    resume: bool


def run(plan: TrainingOptions, recipe: Recipe) -> None:
    """Train on all devices, validate from time to time, and save the best weights.

    `recipe.parts` is how many parts each device learns from, one after another.
    """
    from segcli.train.parallel import Group, joined, others

    typer.echo("reading the annotations")
    devices = _devices(plan.device)
    parts = recipe.parts * len(devices)
    if parts > recipe.batch_size:
        raise UsageError(
            f"--batch-size {recipe.batch_size} is too small for {len(devices)} devices with "
            f"--accumulate {recipe.parts}: each part needs an image, so use at least {parts}"
        )
    precision = resolve_precision(plan.precision, devices[0])
    recipe = replace(recipe, precision=precision, parts=parts)
    if len(devices) == 1:
        _run(plan, recipe, devices[0], Group())
        return
    with tempfile.TemporaryDirectory() as folder:
        meeting = Path(folder) / "meeting"
        further = [(plan, recipe, devices, rank, meeting) for rank in range(1, len(devices))]
        with others(_follow, further), joined(devices, 0, meeting) as group:
            _run(plan, recipe, devices[0], group)


def _devices(text: str) -> list[torch.device]:
    """The devices of --device; all: all GPUs. A device that is named twice gets two processes."""
    if text == "all":
        text = ",".join(n for n in available_devices() if n.startswith("cuda")) or "cpu"
    return [resolve_device(name) for name in comma_list(text, "--device")]


def _follow(
    plan: TrainingOptions, recipe: Recipe, devices: list[torch.device], rank: int, meeting: Path
) -> None:
    """What the processes other than the first one do; they print nothing but errors."""
    from segcli.train.parallel import joined

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the first process, which ends this
    try:
        with (
            Path(os.devnull).open("w") as nowhere,
            redirect_stdout(nowhere),
            redirect_stderr(nowhere),
            joined(devices, rank, meeting) as group,
        ):
            _run(plan, recipe, devices[rank], group)
    except SegcliError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(error.exit_code)


def _run(plan: TrainingOptions, recipe: Recipe, device: torch.device, group: Group) -> None:
    from segcli.cli.validation import Validator
    from segcli.train.initial_model import calibrate
    from segcli.train.loop import Training

    beginning, rows = _prepare(plan, recipe)
    training = Training(rows, recipe, plan.out, device)
    steps = training.steps
    if recipe.warmup > steps // 10:
        recipe = replace(recipe, warmup=max(1, steps // 10))
        training = replace(training, recipe=recipe)
        typer.echo(f"{counted(steps, 'step')}, including {recipe.warmup} of warm-up")
    info = beginning.model.info
    where = f"{device}" if group.size == 1 else f"{group.size} processes ({plan.device})"
    typer.echo(
        f"{info.family}/{info.variant}: {counted(len(info.categories), 'category')}, "
        f"{counted(len(rows), 'image')}, {counted(len(beginning.learned), 'tensor')} from initial "
        f"weights, on {where} in {recipe.precision}"
    )
    if not plan.resume:
        calibrate(beginning, rows, seed=recipe.seed)
    validator = Validator(plan, recipe, beginning.model, device)
    state = _train(training, beginning, validator, group, resume=plan.resume)
    if group.leads:
        validator.finish(state)


def _prepare(plan: TrainingOptions, recipe: Recipe) -> tuple[InitialModel, list[AnnotatedImage]]:
    """The model with its initial weights, and the images, repeated as often as they are shown."""
    from segcli.models.registry import find
    from segcli.train.balance import ignore_boxes, repeat_rare
    from segcli.train.checks import (
        check_keypoints,
        check_objects,
        check_sizes,
        check_validation,
    )
    from segcli.train.data import skeleton_of
    from segcli.train.initial_model import begin, describe

    names, ids = _categories(plan.sources)
    resize = find(plan.model)[1].resize
    skeleton = skeleton_of((dataset.annotations for dataset in plan.sources.train), names)
    side = plan.test_size or (resize.short, resize.long)
    info = describe(plan.model, names, ids, side, skeleton)
    rows = _rows(plan.sources, names, info.keypoints)
    if info.keypoints is not None:
        check_keypoints(rows)
    for name in check_objects(rows, names):
        typer.echo(f"warning: there is no object of {name}, so it cannot be trained", err=True)
    typer.echo(f"comparing the size of {counted(len(rows), 'image')} with the annotations")
    stretched = check_sizes(rows, rescale=plan.rescale)
    if stretched:
        pictures = counted(stretched, "image")
        typer.echo(f"the annotations of {pictures} are stretched to the size of the image")
    for validation in plan.sources.val:
        check_validation(validation, names, iou="segm" if info.keypoints is None else "keypoints")
    beginning = begin(info, _initial(plan), seed=recipe.seed, frozen=recipe.frozen)
    if not getattr(beginning.model, "learns_from_boxes", False):
        rows = ignore_boxes(rows)
        check_objects(rows, names)  # boxes alone do not train this model
    if plan.repeat_threshold:
        rows = repeat_rare(rows, plan.repeat_threshold)
    return beginning, _repeated(rows, plan.repeats)


def _categories(sources: Sources) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names and ids of the categories to train."""
    from segcli.train.data import categories_of

    names, ids = categories_of(dataset.annotations for dataset in sources.train)
    if sources.categories is None:
        return names, ids
    if missing := sorted(set(sources.categories) - set(names)):
        raise UsageError(
            f"no annotations of {', '.join(missing)}; the files have {', '.join(names)}"
        )
    return sources.categories, tuple(ids[names.index(name)] for name in sources.categories)


def _rows(
    sources: Sources, names: tuple[str, ...], keypoints: tuple[str, ...] | None
) -> list[AnnotatedImage]:
    """All annotated images; reports what is left out, and objects that have only a box."""
    from segcli.train.data import read_dataset

    rows: list[AnnotatedImage] = []
    for dataset in sources.train:
        notes: Counter[str] = Counter()
        found = read_dataset(dataset, names, notes=notes, keypoints=keypoints)
        for sentence, count in sorted(notes.items()):
            typer.echo(f"{dataset.annotations}: {with_count(sentence, count)}", err=True)
        boxes = sum(a.box is not None for row in found for a in row.annotations)
        if boxes:
            typer.echo(
                f"{dataset.annotations}: "
                + with_count("{} objects have a box but no outline", boxes)
            )
        rows += found
    return rows


def _repeated(rows: list[AnnotatedImage], repeats: int | None) -> list[AnnotatedImage]:
    """Rows shown `repeats` times per epoch; None: small data sets are repeated automatically."""
    samples = sum(row.weight for row in rows)
    if repeats is None and samples < _SMALL:
        repeats = -(-_SMALL // max(1, round(samples)))
        typer.echo(
            f"only {counted(len(rows), 'image')}: an epoch shows each one "
            f"{counted(repeats, 'time')} (--repeats)"
        )
    return rows if repeats is None else [replace(r, weight=r.weight * repeats) for r in rows]


def _initial(plan: TrainingOptions) -> Path | None:
    """The initial weights, which are printed; None with --from-scratch."""
    from segcli.models.registry import initial_weights

    if plan.from_scratch:
        if plan.weights is not None:
            raise UsageError("--from-scratch uses random weights; leave out --weights")
        return None
    path, what = initial_weights(plan.model, plan.weights)
    typer.echo(f"starting from {what}")
    return path


def _train(
    training: Training,
    beginning: InitialModel,
    validator: Validator,
    group: Group,
    *,
    resume: bool,
) -> State:
    from torch import nn

    from segcli.cli.training_console import training_progress
    from segcli.train.loop import train

    model = beginning.model
    assert isinstance(model, nn.Module), "what a family builds is a module"
    with training_progress(training.recipe, training.steps) as report:
        return train(
            model,
            training,
            learned=beginning.learned,
            resume=resume,
            report=report,
            after_epoch=validator.after_epoch,
            group=group,
        )
