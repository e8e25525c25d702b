"""What `segcli train` does with its options: data, model, loop, then the AP and the weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from segcli.errors import UsageError
from segcli.models.device import resolve_device, resolve_precision

if TYPE_CHECKING:
    import torch

    from segcli.train.data import AnnotatedImage
    from segcli.train.initial_model import InitialModel
    from segcli.train.loop import Recipe, State
    from segcli.train.sources import Sources, Validation


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """The options of a training that are not part of its recipe."""

    sources: Sources
    out: Path
    model: str | None
    weights: Path | None
    test_size: tuple[int, int] | None
    repeat_threshold: float
    device: str
    precision: str
    resume: bool


def run(plan: TrainingOptions, recipe: Recipe) -> None:
    """Train, save the averaged weights, and print the AP where there is validation data."""
    from segcli.train.initial_model import calibrate

    device = resolve_device(plan.device)
    recipe = replace(recipe, precision=resolve_precision(plan.precision, device))
    beginning, rows = _prepare(plan, recipe.seed)
    info = beginning.model.info
    typer.echo(
        f"{info.family}/{info.variant}: {len(info.categories)} categories, {len(rows)} images, "
        f"{len(beginning.learned)} tensors from initial weights, on {device} in {recipe.precision}"
    )
    if not plan.resume:
        calibrate(beginning, rows, seed=recipe.seed)
    state = _train(plan, recipe, beginning, rows, device)
    _finish(plan, recipe, state, beginning, device)


def _prepare(plan: TrainingOptions, seed: int) -> tuple[InitialModel, list[AnnotatedImage]]:
    from segcli.models.registry import find
    from segcli.train.data import categories_of, ignore_boxes, read_dataset, repeat_rare
    from segcli.train.initial_model import begin, describe

    sources = plan.sources
    names, ids = categories_of(dataset.annotations for dataset in sources.train)
    if sources.categories is not None:
        wanted = sources.categories
        missing = sorted(set(wanted) - set(names))
        if missing:
            raise UsageError(
                f"no annotations of {', '.join(missing)}; the files have {', '.join(names)}"
            )
        ids = tuple(ids[names.index(name)] for name in wanted)
        names = wanted
    resize = find(plan.model)[1].resize
    info = describe(plan.model, names, ids, plan.test_size or (resize.short, resize.long))
    rows = [row for dataset in sources.train for row in read_dataset(dataset, names)]
    if not rows:
        raise UsageError("the annotations name no image")
    beginning = begin(info, plan.weights, seed=seed)
    if not getattr(beginning.model, "learns_from_boxes", False):
        rows = ignore_boxes(rows)
    if plan.repeat_threshold:
        rows = repeat_rare(rows, plan.repeat_threshold)
    return beginning, rows


def _train(
    plan: TrainingOptions,
    recipe: Recipe,
    beginning: InitialModel,
    rows: list[AnnotatedImage],
    device: torch.device,
) -> State:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )
    from torch import nn

    from segcli.train.loop import Progress as Step
    from segcli.train.loop import train

    columns = TextColumn("epoch {task.fields[epoch]}"), BarColumn(), MofNCompleteColumn()
    told = TextColumn("{task.fields[losses]}")
    with Progress(*columns, TimeRemainingColumn(), told) as bar:
        task = bar.add_task("", total=None, epoch=0, losses="")

        def report(step: Step) -> None:
            losses = " ".join(f"{k} {v:.3f}" for k, v in step.losses.items())
            bar.update(
                task, total=step.steps, completed=step.step, epoch=step.epoch + 1, losses=losses
            )
            if not bar.console.is_terminal:
                typer.echo(f"epoch {step.epoch + 1} step {step.step}/{step.steps} {losses}")

        model = beginning.model
        assert isinstance(model, nn.Module), "what a family builds is a module"
        return train(
            model,
            rows,
            plan.out,
            recipe,
            device=device,
            learned=beginning.learned,
            resume=plan.resume,
            report=report,
        )


def _finish(
    plan: TrainingOptions,
    recipe: Recipe,
    state: State,
    beginning: InitialModel,
    device: torch.device,
) -> None:
    """The averaged weights become the model; its AP is told where there is validation data."""
    from segcli.models import checkpoint

    model = beginning.model
    model.load_state_dict(state.average.state)
    info = model.info
    for index, validation in enumerate(plan.sources.val):
        score = _validate(validation, recipe, beginning, device)
        if index == 0 and score is not None:
            info = replace(info, default_score=score)
    path = plan.out / "model.safetensors"
    notes = {"epochs": str(state.epoch), "seed": str(recipe.seed)}
    checkpoint.save(path, state.average.state, info, notes=notes, half=True)
    typer.echo(
        f"{path}: use it with segcli predict --weights {path}; readers show masks from a score "
        f"of {info.default_score:.2f} on"
    )


def _validate(
    validation: Validation, recipe: Recipe, beginning: InitialModel, device: torch.device
) -> float | None:
    """Print the AP; returns the F1-best score of the category with the most objects."""
    from segcli.evaluate import read_truth, score_records
    from segcli.evaluate.diagnosis import diagnose
    from segcli.train.results import coco_results

    images, ann = validation.images, validation.annotations
    info = beginning.model.info
    known = set(read_truth(ann).category_names)
    if validation.categories is not None:
        known &= validation.categories
    common = tuple(name for name in info.categories if name in known)
    if not common:
        raise UsageError(f"{ann} has none of the categories {', '.join(info.categories)}")
    ids = {info.category_ids[info.categories.index(name)] for name in common}
    found = coco_results(beginning.model, images, ann, device=device, precision=recipe.precision)
    compared = (result for result in found if result["category_id"] in ids)
    scored = score_records(compared, ann, categories=common)
    typer.echo(
        f"{validation.name}: mask " + "  ".join(f"{k} {v:.3f}" for k, v in scored.metrics.items())
    )
    for entry in scored.classes:
        typer.echo(f"  {entry.name}: AP {entry.ap:.3f}, AP50 {entry.ap50:.3f}")
    best = {one.name: one.score for one in diagnose(scored, min_score=0.5).best_scores}
    return best[max(scored.classes, key=lambda entry: entry.objects).name]
