"""Map the names in published checkpoints, with a clear error for checkpoints of other models."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import zip_longest

import torch
from torch import Tensor, nn

from segcli.errors import UsageError
from segcli.types import ModelInfo

# Pattern of a whole name, and what becomes of it: a replacement as in re.sub, or a function.
Rules = Iterable[tuple[str, str | Callable[[re.Match[str]], str]]]

FIRST = "backbone.body.conv1.weight"  # of every ResNet of ours


def rename(state: Mapping[str, Tensor], rules: Rules) -> dict[str, Tensor]:
    """Tensors under new names by the first rule whose pattern matches the whole name.

    A name without a rule stays; one whose replacement is empty is left out.
    """
    compiled = [(re.compile(pattern), ours) for pattern, ours in rules]
    renamed = {_renamed(name, compiled): tensor for name, tensor in state.items()}
    renamed.pop("", None)
    return renamed


def _renamed(
    name: str, rules: Iterable[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]]
) -> str:
    for pattern, ours in rules:
        match = pattern.fullmatch(name)
        if match:
            return match.expand(ours) if isinstance(ours, str) else ours(match)
    return name


def shifted(ours: str, by: int) -> Callable[[re.Match[str]], str]:
    """A rule's right side that fills the fields of `ours` with the groups of the match, the first
    of them, a number, less `by`."""

    def fill(match: re.Match[str]) -> str:
        first, *others = match.groups()
        return ours.format(int(first) - by, *others)

    return fill


def bgr_to_rgb(state: dict[str, Tensor], name: str = FIRST) -> dict[str, Tensor]:
    """The first convolution's filters turned round, where the state has them."""
    if name in state:
        state[name] = state[name].flip(1)
    return state


def fitting(
    given: Mapping[str, Tensor],
    info: ModelInfo,
    build: Callable[[ModelInfo], nn.Module],
    *,
    prefix: str = "",
) -> dict[str, Tensor]:
    """`given`, if names and shapes are those of the model that `build` makes of `info`, of all its
    parts or of those whose names begin with `prefix`.

    Frozen norms count no batches, but checkpoints of models that did may hold the numbers: they are
    left out. Raises a UsageError that names the first differences.
    """
    with torch.device("meta"):  # names and shapes without the numbers
        expected = {k: v for k, v in build(info).state_dict().items() if k.startswith(prefix)}
    counts = {k for k in given if k.endswith("num_batches_tracked") and k not in expected}
    found = {k: v for k, v in given.items() if k not in counts}
    check(found, expected, info)
    return found


def check(given: Mapping[str, Tensor], expected: Mapping[str, Tensor], info: ModelInfo) -> None:
    """Raise a UsageError with the first differences unless names and shapes are as expected."""
    missing = sorted(set(expected) - set(given))
    surplus = sorted(set(given) - set(expected))
    shapes = [
        f"{k} {tuple(given[k].shape)} instead of {tuple(expected[k].shape)}"
        for k in sorted(set(given) & set(expected))
        if given[k].shape != expected[k].shape
    ]
    if not (missing or surplus or shapes):
        return
    pairs = list(zip_longest(missing, surplus, fillvalue="nothing"))[:3]
    first = [f"expected {m}, got {s}" for m, s in pairs] + shapes[:3]
    raise UsageError(
        f"these are not the weights of {info.family}/{info.variant}: "
        f"{len(missing)} tensors missing, {len(surplus)} unknown, {len(shapes)} of another "
        f"shape; {'; '.join(first)}. Name the model they belong to with --model"
    )
