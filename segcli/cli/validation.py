"""The validations of `segcli train`: AP, the best weights, early stopping, pictures."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from segcli.cli.wording import worded
from segcli.files import write_bytes, write_text
from segcli.plurals import counted

if TYPE_CHECKING:
    import torch

    from segcli.cli.training import TrainingOptions
    from segcli.plugin import Trainable
    from segcli.train.history import History
    from segcli.train.measure import Measured
    from segcli.train.recipe import Recipe
    from segcli.train.sources import Validation
    from segcli.train.state import State

_PICTURES = 20


class Validator:
    """Measures the averaged weights of a training, and keeps the best and the last ones."""

    def __init__(
        self, plan: TrainingOptions, recipe: Recipe, model: Trainable, device: torch.device
    ) -> None:
        self._plan = plan
        self._recipe = recipe
        self._model = model
        self._device = device
        self._history: History | None = None

    def after_epoch(self, state: State) -> bool:
        """Validate if it is due; returns whether the training should stop early."""
        from segcli.train.curves import draw_curves

        plan, last = self._plan, state.epoch == self._recipe.epochs
        if not plan.sources.val or (state.epoch % plan.val_every and not last):
            return False
        history = self._read_history(state.epoch)
        if not history.has(state.epoch):
            measured = self._measure(state)
            history.add(state.epoch, state.step, measured)
            self._save(state, measured, "last")
            if history.stale == 0:
                self._save(state, measured, "best")
            draw_curves(plan.out, history.entries)
        if plan.patience and history.stale >= plan.patience:
            typer.echo(f"no better AP for {counted(history.stale, 'validation')}: stopping early")
            return True
        return False

    def finish(self, state: State) -> None:
        """Save the best weights (without validation: the last averaged ones) as the model."""
        from segcli.train.curves import draw_curves

        out = self._plan.out
        path = out / "model.safetensors"
        if not self._plan.sources.val:
            self._save(state, (), "model")
            draw_curves(out, [])
            typer.echo(f"{path}: use it with segcli predict --weights {path}")
            return
        history = self._read_history(state.epoch)
        assert history.best is not None, "a validation has just been made"
        entry = history.entries[history.best]
        write_bytes(path, (out / "best.safetensors").read_bytes())
        typer.echo(
            f"{path}: AP {entry['AP']:.3f} after epoch {entry['epoch']}, the best; use it with "
            f"segcli predict --weights {path}"
        )
        draw_pictures(
            self._plan.sources.val[0],
            path,
            out / "validation",
            device=self._plan.device,
            precision=self._recipe.precision,
        )

    def _read_history(self, epoch: int) -> History:
        from segcli.train.history import History

        if self._history is None:
            epochs = epoch if self._plan.resume else 0
            self._history = History.read(self._plan.out / "val.jsonl", epochs=epochs)
        return self._history

    def _measure(self, state: State) -> list[Measured]:
        """Measure the averaged weights on every set, and restore the model's own afterwards."""
        from segcli.train.measure import measure

        own = {name: value.clone() for name, value in self._model.state_dict().items()}
        self._model.load_state_dict(state.average.state)
        found = []
        for validation in self._plan.sources.val:
            one = measure(
                self._model, validation, device=self._device, precision=self._recipe.precision
            )
            typer.echo(f"epoch {state.epoch}, {one.name}: AP {one.ap:.3f}, AP50 {one.ap50:.3f}")
            for entry in one.classes:
                typer.echo(
                    f"  {entry.name} ({entry.objects}): AP {entry.ap:.3f}, AP50 {entry.ap50:.3f}"
                )
            found.append(one)
        self._model.load_state_dict(own)
        return found

    def _save(self, state: State, measured: Sequence[Measured], name: str) -> None:
        from segcli.models import checkpoint
        from segcli.train.measure import best_scores

        info = self._model.info
        scores = best_scores(measured)
        if scores:
            entries = [entry for one in measured for entry in one.classes]
            most = max(entries, key=lambda entry: entry.objects).name
            default = scores.get(most, info.default_score)
            own = tuple(scores.get(name, default) for name in info.categories)
            info = replace(info, default_score=default, default_scores=own)
        notes = {"epochs": str(state.epoch), "seed": str(self._recipe.seed)}
        path = self._plan.out / f"{name}.safetensors"
        checkpoint.save(path, state.average.state, info, notes=notes, half=True)


def draw_pictures(
    validation: Validation, weights: Path, out: Path, *, device: str, precision: str
) -> None:
    """Draw up to 20 images, predictions next to ground truth, as `viz --gt` does."""
    from segcli.annotations.columns import identity, load_json
    from segcli.errors import SegcliError
    from segcli.pipeline import PredictOptions, predict
    from segcli.train.data import image_path, read_annotations
    from segcli.viz import VizOptions, visualise

    truth = read_annotations(validation.annotations)
    step = math.ceil(len(truth.names) / _PICTURES)
    document = load_json(validation.annotations)
    chosen = document["images"][::step]
    ids = {identity(image["id"]) for image in chosen}
    objects = [a for a in document["annotations"] if identity(a["image_id"]) in ids]
    names = [truth.names[i] for i in truth.listed[::step].tolist()]
    try:
        if out.exists():
            shutil.rmtree(out)
        out.mkdir()
        subset = out / "truth.json"
        write_text(subset, json.dumps({**document, "images": chosen, "annotations": objects}))
        listing = out / "images.txt"
        paths = (image_path(validation.images, n, validation.annotations).absolute() for n in names)
        listing.write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
        options = PredictOptions(
            source=str(listing), out=out / "masks.parquet", weights=str(weights),
            device=device, precision=precision, count_ahead=False,
        )  # fmt: skip
        predict(options, report=lambda event: None)
        drawn = visualise(
            VizOptions(masks=options.out, out=out, gt=subset, beside=True),
            report=lambda text: None,
        )  # fmt: skip
        typer.echo(
            f"{out}: {counted(drawn.pictures, 'picture')} of {validation.name} next to ground truth"
        )
    except (SegcliError, OSError) as error:
        typer.echo(f"warning: no pictures of {validation.name}: {worded(str(error))}", err=True)
