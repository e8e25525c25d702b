"""Published checkpoints: names to ours, and a clear word where the file is another model's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import zip_longest

from torch import Tensor

from segcli.errors import UsageError
from segcli.types import ModelInfo

Rules = Iterable[tuple[str, str]]

_BRACKETS = re.compile(r"[<\[{](\d+)[>\]}]")

# A name that only one family's checkpoints have.
_SIGNS = (
    (r"rpn\.head\.pixel_(spatial|other)_embed_pred\.", "embedmask"),
    (r"proposal_generator\.fcos_head\.", "condinst"),
    (r"prediction_layers\.0\.", "yolact"),
    (r"bbox_head\.(solo|dsolo|feature|cate|kernel)_", "solo"),
    (r"roi_heads\.mask(_head\.coarse|_point_head|_head\.point_head)", "pointrend"),
    (r"roi_heads\.maskiou\.", "maskscoring"),
    (r"roi_heads\.(box_predictor|box_head)\.", "maskrcnn"),
)


def rename(state: Mapping[str, Tensor], rules: Rules) -> dict[str, Tensor]:
    r"""Tensors under new names by the first rule whose pattern matches the whole name.

    In a replacement `<\1>` is group 1 less one, `[\1]` less two, `{\1}` less three. A name without
    a rule stays; one whose replacement is empty is left out.
    """
    compiled = [(re.compile(pattern), ours) for pattern, ours in rules]
    renamed = {_renamed(name, compiled): tensor for name, tensor in state.items()}
    renamed.pop("", None)
    return renamed


def _renamed(name: str, rules: Iterable[tuple[re.Pattern[str], str]]) -> str:
    for pattern, ours in rules:
        match = pattern.fullmatch(name)
        if match:
            return _BRACKETS.sub(_lowered, match.expand(ours))
    return name


def _lowered(match: re.Match[str]) -> str:
    """<n> -> n - 1, [n] -> n - 2, {n} -> n - 3."""
    return str(int(match[1]) - 1 - "<[{".index(match[0][0]))


def check(
    given: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    info: ModelInfo,
    *,
    published: Iterable[str],
) -> None:
    """Raise a UsageError with the first differences unless names and shapes are as expected.

    `published` are the checkpoint's own names, from which the family that it belongs to is guessed.
    """
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
    family = looks_like(published)
    guess = f" It looks like a {family} checkpoint." if family not in (None, info.family) else ""
    raise UsageError(
        f"these are not the weights of {info.family}/{info.variant}: "
        f"{len(missing)} tensors missing, {len(surplus)} unknown, {len(shapes)} of another "
        f"shape; {'; '.join(first)}.{guess} Name the model they belong to with --model."
    )


def looks_like(state: Iterable[str]) -> str | None:
    """The family whose authors' checkpoints have such names, or None."""
    names = list(state)
    for sign, family in _SIGNS:
        if any(re.match(sign, name) for name in names):
            return family
    return None
