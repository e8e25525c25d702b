"""The training loop, with a checkpoint every few hundred steps and a bit-exact resume."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import IO, Any, Literal

import torch
from torch import Tensor, nn

from segcli.errors import OutputError, UsageError
from segcli.models.device import autocast
from segcli.plugin import Trainable
from segcli.train.augment import Augmentation
from segcli.train.data import AnnotatedImage
from segcli.train.loader import Samples, Submit, batches, plan_epoch, preparing, samples_per_epoch
from segcli.train.schedule import (
    FLAT_SHARE,
    Average,
    RateSchedule,
    make_optimizer,
    rate_at,
    set_rate,
)

_CHECKPOINT = "last.pt"
_FREE = frozenset({"workers", "log_every", "save_every"})  # options that may change between resumes


@dataclass(frozen=True, slots=True)
class Recipe:
    """All options that affect the result of a training, besides data and initial weights."""

    epochs: int = 12
    batch_size: int = 4
    rate: float = 3e-4
    learned_rate: float = 0.3  # of `rate`, for parameters that come from the initial weights
    optimizer: Literal["adamw", "sgd"] = "adamw"
    schedule: RateSchedule = "cosine"
    weight_decay: float = 0.01
    warmup: int = 200  # steps
    clip: float = 5.0  # L2 norm of the gradient
    average: float = 0.999  # decay of the moving average of the weights
    short: tuple[int, int] = (256, 384)  # px, short side of the canvas
    precision: str = "float32"
    seed: int = 0
    workers: int = 2
    log_every: int = 20  # steps
    save_every: int = 200  # steps between checkpoints, besides one after each epoch
    augmentation: Augmentation = field(default_factory=Augmentation)


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of the training after a step."""

    epoch: int
    step: int
    steps: int
    losses: Mapping[str, float]
    rate: float
    images_per_s: float


@dataclass(slots=True)
class State:
    """The state for a resume: the model, its average and the optimiser after `step` steps."""

    model: nn.Module
    average: Average
    optimizer: torch.optim.Optimizer
    epoch: int = 0
    step: int = 0


@dataclass(frozen=True, slots=True)
class Training:
    """Annotated images, how often and how they are learned, where, and on which device.

    The folder `out` gets last.pt and log.jsonl.
    """

    rows: Sequence[AnnotatedImage]
    recipe: Recipe
    out: Path
    device: torch.device

    @property
    def steps_per_epoch(self) -> int:
        """The last batch of an epoch may be smaller."""
        return -(-samples_per_epoch(self.rows) // self.recipe.batch_size)

    @property
    def steps(self) -> int:
        return self.steps_per_epoch * self.recipe.epochs


def train(
    model: nn.Module,
    training: Training,
    *,
    learned: frozenset[str] = frozenset(),
    resume: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
    after_epoch: Callable[[State], bool] = lambda state: False,
) -> State:
    """Train until all epochs are done.

    `learned` names the parameters that came from the initial weights. `report` hears of each step;
    `after_epoch` comes once the checkpoint is written, and says whether to stop early. Raises
    UsageError when `resume` finds no checkpoint or another recipe, OutputError when `training.out`
    cannot be written.
    """
    recipe, steps = training.recipe, training.steps
    model.to(training.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # stub gap
    state = _fresh(model, recipe, learned)
    if resume:
        _restore(state, training)
    ended = state.step == state.epoch * training.steps_per_epoch
    if state.epoch and ended and after_epoch(state):
        return state  # the training had ended, or was stopped before this was over
    samples = Samples(training.rows, recipe.augmentation, recipe.seed)
    on_gpu = training.device.type == "cuda"
    log = _log(training.out, state.step if resume else None)
    with log, preparing(samples, recipe.workers, processes=on_gpu) as submit:
        while state.epoch < recipe.epochs:
            for losses in _epoch(state, training, submit):
                progress = Progress(state.epoch, state.step, steps, *losses)
                if state.step % recipe.log_every == 0 or state.step == steps:
                    log.write(json.dumps(asdict(progress)) + "\n")
                    log.flush()
                report(progress)
                if state.step % recipe.save_every == 0:
                    _save(state, training)
            state.epoch += 1
            _save(state, training)
            if after_epoch(state):
                break
    return state


def _epoch(
    state: State, training: Training, submit: Submit
) -> Iterator[tuple[dict[str, float], float, float]]:
    """Run the rest of an epoch; yields losses, learning rate and images/s of each step."""
    recipe, device = training.recipe, training.device
    model = state.model.train()
    assert isinstance(model, Trainable)
    plans = plan_epoch(
        training.rows,
        batch_size=recipe.batch_size,
        short=recipe.short,
        stride=model.info.stride,
        seed=recipe.seed,
        epoch=state.epoch,
    )
    left, steps = plans[state.step - state.epoch * training.steps_per_epoch :], training.steps
    start = time.perf_counter()
    for batch, targets in batches(submit, left, epoch=state.epoch, ahead=recipe.workers):
        share = rate_at(state.step, steps, warmup=recipe.warmup, schedule=recipe.schedule)
        set_rate(state.optimizer, share)
        torch.manual_seed(recipe.seed * 1_000_003 + state.step)  # the model's own sampling
        with autocast(device, recipe.precision):
            losses = model.losses(batch, [_to(t, device) for t in targets])
        total = torch.stack([loss.float() for loss in losses.values()]).sum()
        state.step += 1
        if not torch.isfinite(total):
            raise UsageError(
                f"the loss is not finite at step {state.step} ("
                + ", ".join(f"{k} {float(v.detach()):.3g}" for k, v in losses.items())
                + "); resume with a lower --lr or with --precision float32"
            )
        state.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]  # torch annotates only a part
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        state.optimizer.step()
        state.average.update(model.state_dict())
        speed = len(targets) / (time.perf_counter() - start)
        yield {k: float(v.detach()) for k, v in losses.items()}, recipe.rate * share, speed
        start = time.perf_counter()


def _to(targets: Any, device: torch.device) -> Any:
    values = {f.name: getattr(targets, f.name) for f in fields(targets)}
    return type(targets)(**{k: v if v is None else v.to(device) for k, v in values.items()})


def _fresh(model: nn.Module, recipe: Recipe, learned: frozenset[str]) -> State:
    optimizer = make_optimizer(
        model,
        name=recipe.optimizer,
        rate=recipe.rate,
        weight_decay=recipe.weight_decay,
        learned=learned,
        learned_rate=recipe.learned_rate,
    )
    return State(model, Average(model.state_dict(), recipe.average), optimizer)


def _recorded(recipe: Recipe) -> dict[str, Any]:
    """The recipe as JSON, without the options that may change between resumes."""
    kept = {k: v for k, v in asdict(recipe).items() if k not in _FREE}
    return dict(json.loads(json.dumps(kept)))


def _save(state: State, training: Training) -> None:
    """Write the checkpoint atomically: after a crash, either the old or the new one exists."""
    path = training.out / _CHECKPOINT
    content = {
        "recipe": json.dumps(_recorded(training.recipe)),
        "steps_per_epoch": training.steps_per_epoch,
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


def _restore(state: State, training: Training) -> None:
    """Load a checkpoint of the same recipe and as much data into `state`."""
    path, per_epoch = training.out / _CHECKPOINT, training.steps_per_epoch
    if not path.is_file():
        raise UsageError(f"there is no {path} to resume; leave out --resume to start a training")
    content = _checkpoint(path)
    step = int(content["step"])
    # Options that an older segcli did not have had the default value of today.
    then = {**_recorded(Recipe()), **json.loads(content["recipe"])}
    now = _recorded(training.recipe)
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


def _log(out: Path, resumed_at: int | None) -> IO[str]:
    """The log, one JSON object a line; of an earlier one what came after the checkpoint goes."""
    path = out / "log.jsonl"
    try:
        out.mkdir(parents=True, exist_ok=True)
        if resumed_at is not None and path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [line for line in lines if json.loads(line)["step"] <= resumed_at]
            path.write_text("".join(kept), encoding="utf-8")
        return path.open("w" if resumed_at is None else "a", encoding="utf-8")
    except ValueError as error:
        raise UsageError(f"{path} is damaged ({error}); remove it to continue") from error
    except OSError as error:
        raise OutputError(f"{out} cannot be written: {error}") from error
