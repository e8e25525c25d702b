"""The state of a training and its checkpoint."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segcli.errors import OutputError, UsageError
from segcli.train.recipe import Recipe
from segcli.train.schedule import FLAT_SHARE, Average, make_optimizer

_CHECKPOINT = "last.pt"


@dataclass(slots=True)
class State:
    """The state for a resume: the model, its average and the optimiser after `step` steps."""

    model: nn.Module
    average: Average
    optimizer: torch.optim.Optimizer
    epoch: int = 0
    step: int = 0


def fresh_state(model: nn.Module, recipe: Recipe, learned: frozenset[str]) -> State:
    optimizer = make_optimizer(
        model,
        name=recipe.optimizer,
        rate=recipe.rate,
        weight_decay=recipe.weight_decay,
        learned=learned,
        learned_rate=recipe.learned_rate,
    )
    return State(model, Average(model.state_dict(), recipe.average), optimizer)


def save_state(state: State, out: Path, recipe: Recipe, steps_per_epoch: int) -> None:
    """Write the checkpoint atomically: after a crash, either the old or the new one exists."""
    path = out / _CHECKPOINT
    content = {
        "recipe": json.dumps(recipe.recorded()),
        "steps_per_epoch": steps_per_epoch,
        "model": state.model.state_dict(),
        "average": state.average.state,
        "updates": state.average.updates,
        "optimizer": state.optimizer.state_dict(),
        "epoch": state.epoch,
        "step": state.step,
    }
    staged = path.with_suffix(".pt.new")
    try:
        with staged.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        staged.replace(path)
    except (OSError, RuntimeError) as error:
        staged.unlink(missing_ok=True)
        raise OutputError(f"{path} could not be written ({error}); free some space") from error


def restore_state(state: State, out: Path, recipe: Recipe, per_epoch: int) -> None:
    """Load a checkpoint of the same recipe and as much data into `state`.

    Raises UsageError when there is none, or one of another training.
    """
    path = out / _CHECKPOINT
    if not path.is_file():
        raise UsageError(f"there is no {path} to resume; leave out --resume to start a training")
    content = _checkpoint(path)
    step = int(content["step"])
    # Options that an older segcli did not have had the default value of today.
    then = {**Recipe().recorded(), **json.loads(content["recipe"])}
    now = recipe.recorded()
    then["steps per epoch"], now["steps per epoch"] = (
        content.get("steps_per_epoch", per_epoch),
        per_epoch,
    )
    shortest = min(then["epochs"], now["epochs"]) * per_epoch
    if now["schedule"] == "flat" and step <= FLAT_SHARE * shortest:
        del then["epochs"], now["epochs"]  # the rate does not depend on them yet
    if step >= max(then["warmup"], now["warmup"]):
        del then["warmup"], now["warmup"]  # a tenth of the steps, which may have become more
    changed = [f"{k}: {then.get(k)} there, {now[k]} now" for k in now if then.get(k) != now[k]]
    if changed:
        raise UsageError(
            f"{path} belongs to another training ({'; '.join(changed)}); "
            "use the same options or another --out"
        )
    state.model.load_state_dict(content["model"])
    state.optimizer.load_state_dict(content["optimizer"])
    average: dict[str, Tensor] = content["average"]
    for key, value in state.average.state.items():
        value.copy_(average[key])
    state.average.updates = int(content["updates"])
    state.epoch, state.step = int(content["epoch"]), step


def _checkpoint(path: Path) -> dict[str, Any]:
    """Raises UsageError where the file is not what `_save` writes."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # an unpickler can raise anything on damaged bytes
        first_line = str(error).strip().partition("\n")[0]
        raise UsageError(
            f"{path} is damaged ({first_line}); use another --out to start from the beginning"
        ) from error
    if not isinstance(content, dict) or "recipe" not in content:
        raise UsageError(f"{path} is not the checkpoint of a training; give its --out")
    return content
