"""The training loop, with a checkpoint every few hundred steps and a bit-exact resume."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor, nn

from segcli.errors import OutputError, UsageError
from segcli.models.device import autocast
from segcli.plugin import Trainable
from segcli.train.data import AnnotatedImage
from segcli.train.loader import (
    BatchPlan,
    Samples,
    Submit,
    batches,
    plan_epoch,
    preparing,
    samples_per_epoch,
)
from segcli.train.parallel import ALONE, Group
from segcli.train.recipe import Recipe
from segcli.train.schedule import rate_at, set_rate
from segcli.train.state import State, fresh_state, restore_state, save_state


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of the training after a step."""

    epoch: int
    step: int
    steps: int
    losses: Mapping[str, float]
    rate: float
    images_per_s: float


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
    group: Group = ALONE,
) -> State:
    """Train until all epochs are done.

    `learned` names the parameters that came from the initial weights. `report` hears of each step;
    `after_epoch` comes once the checkpoint is written, and says whether to stop early. In a `group`
    of processes that learn together, both are called in its first process only, which writes the
    checkpoint and the log. Raises UsageError when `resume` finds no checkpoint or another recipe,
    OutputError when `training.out` cannot be written.
    """
    recipe, steps = training.recipe, training.steps
    model.to(training.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # stub gap
    group.share(model)
    state = fresh_state(model, recipe, learned)
    if resume:
        restore_state(state, training.out, recipe, training.steps_per_epoch)

    def done() -> bool:
        return group.agree(group.leads and after_epoch(state))

    if state.epoch and state.step == state.epoch * training.steps_per_epoch and done():
        return state  # the training had ended, or was stopped before this was over
    samples = Samples(training.rows, recipe.augmentation, recipe.seed)
    on_gpu = training.device.type == "cuda"
    written = _log(training.out, state.step if resume else None) if group.leads else nullcontext()
    with written as log, preparing(samples, recipe.workers, processes=on_gpu) as submit:
        while state.epoch < recipe.epochs:
            for losses in _epoch(state, training, submit, group):
                progress = Progress(state.epoch, state.step, steps, *losses)
                if log is not None:
                    _write(log, progress, every=recipe.log_every)
                    report(progress)
                    if state.step % recipe.save_every == 0:
                        save_state(state, training.out, recipe, training.steps_per_epoch)
            state.epoch += 1
            if group.leads:
                save_state(state, training.out, recipe, training.steps_per_epoch)
            if done():
                break
    return state


def _epoch(
    state: State, training: Training, submit: Submit, group: Group
) -> Iterator[tuple[dict[str, float], float, float]]:
    """Run the rest of an epoch; yields losses, learning rate and images/s of each step."""
    recipe = training.recipe
    model = state.model.train()
    if recipe.norms == "fixed":
        _fix_statistics(model)
    plans = plan_epoch(
        training.rows,
        batch_size=recipe.batch_size,
        short=recipe.short,
        stride=_trainable(model).info.stride,
        seed=recipe.seed,
        epoch=state.epoch,
    )
    left = plans[state.step - state.epoch * training.steps_per_epoch :]
    own = [group.share_of(plan.parts(recipe.parts)) for plan in left]
    flat = [part for parts in own for _, part in parts]
    loaded = batches(submit, flat, epoch=state.epoch, ahead=recipe.workers)
    start = time.perf_counter()
    for plan, parts in zip(left, own, strict=True):
        share = rate_at(state.step, training.steps, warmup=recipe.warmup, schedule=recipe.schedule)
        set_rate(state.optimizer, share)
        state.optimizer.zero_grad(set_to_none=True)
        losses = group.add_up(model, _gradients(state, training, plan, parts, loaded))
        state.step += 1
        _check_finite(losses, state.step)
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        state.optimizer.step()
        if group.leads:
            state.average.update(model.state_dict())
        speed = len(plan.rows) / (time.perf_counter() - start)
        yield {k: float(v) for k, v in losses.items()}, recipe.rate * share, speed
        start = time.perf_counter()


def _gradients(
    state: State,
    training: Training,
    plan: BatchPlan,
    parts: Sequence[tuple[int, BatchPlan]],
    loaded: Iterator[tuple[Any, Sequence[Any]]],
) -> dict[str, Tensor]:
    """Add the gradients of these numbered parts of a batch to the parameters.

    Returns their share of the losses of the batch, which are the means over its images.
    """
    recipe, device, model = training.recipe, training.device, _trainable(state.model)
    found: dict[str, Tensor] = {}
    for index, part in parts:
        batch, targets = next(loaded)
        # The model's own sampling, which must not depend on the process that it runs in.
        torch.manual_seed(recipe.seed * 1_000_003 + state.step + index * 1_000_000_007)
        with autocast(device, recipe.precision):
            losses = model.losses(batch, [_to(t, device) for t in targets])
        share = len(part.rows) / len(plan.rows)
        total = torch.stack([loss.float() for loss in losses.values()]).sum() * share
        total.backward()  # type: ignore[no-untyped-call]  # torch annotates only a part
        for name, loss in losses.items():
            found[name] = found.get(name, 0.0) + loss.detach().float() * share
    return found


def _fix_statistics(model: nn.Module) -> None:
    """Let batch norms normalise by their running statistics, and keep these as they are."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def _trainable(model: nn.Module) -> Trainable:
    assert isinstance(model, Trainable)
    return model


def _check_finite(losses: Mapping[str, Tensor], step: int) -> None:
    if not torch.isfinite(torch.stack(list(losses.values())).sum()):
        raise UsageError(
            f"the loss is not finite at step {step} ("
            + ", ".join(f"{k} {float(v):.3g}" for k, v in losses.items())
            + "); resume with a lower --lr or with --precision float32"
        )


def _write(log: IO[str], progress: Progress, *, every: int) -> None:
    if progress.step % every == 0 or progress.step == progress.steps:
        log.write(json.dumps(asdict(progress)) + "\n")
        log.flush()


def _to(targets: Any, device: torch.device) -> Any:
    values = {f.name: getattr(targets, f.name) for f in fields(targets)}
    return type(targets)(**{k: v if v is None else v.to(device) for k, v in values.items()})


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
