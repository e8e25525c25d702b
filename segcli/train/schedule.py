"""Learning rate over time, the optimiser's groups, and the moving average of the weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

RateSchedule = Literal["cosine", "step", "flat"]
FLAT_SHARE = 0.8  # of a "flat" schedule, before the rate falls


def rate_at(step: int, steps: int, *, warmup: int, schedule: RateSchedule = "cosine") -> float:
    """The share of the full learning rate at `step` of `steps`, after a linear warm-up.

    "cosine" falls to 1 %; "step" drops to a tenth after 8/12 and 11/12 of the way; "flat" stays
    for four fifths of the way, then falls in a straight line to 1 %, so that how long it is need
    not be known at the beginning.
    """
    if step < warmup:
        return (step + 1) / warmup
    if schedule == "flat":
        progress = (step / steps - FLAT_SHARE) / (1 - FLAT_SHARE)
        return 1 - 0.99 * min(1.0, max(0.0, progress))
    if schedule == "step":
        return 0.1 ** ((step >= steps * 8 / 12) + (step >= steps * 11 / 12))
    progress = (step - warmup) / max(1, steps - warmup)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def make_optimizer(
    model: nn.Module,
    *,
    name: Literal["adamw", "sgd"],
    rate: float,
    weight_decay: float,
    learned: frozenset[str],
    learned_rate: float,
) -> torch.optim.Optimizer:
    """Four groups: vectors (biases, norms) do not decay; `learned` parameters, which come from
    the initial weights, move at `learned_rate` of the rate. Each group keeps its `peak` rate."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for key, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((parameter.ndim > 1, key in learned), []).append(parameter)
    settings = []
    for (decays, is_learned), parameters in groups.items():
        peak = rate * (learned_rate if is_learned else 1.0)
        decay = weight_decay if decays else 0.0
        settings.append({"params": parameters, "lr": peak, "peak": peak, "weight_decay": decay})
    if name == "adamw":
        return torch.optim.AdamW(settings)
    return torch.optim.SGD(settings, momentum=0.9)


def set_rate(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Set every group to `share` of its peak rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * share


class Average:
    """An exponential moving average of a state dict; buffers that are not floats are copied.

    The decay grows with the number of updates, so that random first weights are soon forgotten.
    """

    def __init__(self, state: Mapping[str, Tensor], decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.state = {key: value.detach().clone() for key, value in state.items()}

    @torch.no_grad()
    def update(self, state: Mapping[str, Tensor]) -> None:
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for key, value in state.items():
            if value.is_floating_point():
                self.state[key].lerp_(value.detach(), 1 - decay)
            else:
                self.state[key].copy_(value)
