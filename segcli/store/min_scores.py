"""The score from which masks are shown: a given one, or the model's score of each category."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_UNKNOWN = 0.5  # if the model was not measured


@dataclass(frozen=True, slots=True)
class MinScores:
    """The minimum score of a mask: `default`, except for the categories in `own`."""

    default: float
    own: Mapping[str, float] = field(default_factory=dict)

    def of(self, category: str) -> float:
        return self.own.get(category, self.default)

    @property
    def lowest(self) -> float:
        """Below which no mask counts."""
        return min([self.default, *self.own.values()])

    def condition(self) -> str:
        """The condition in SQL on the columns `score` and `category`."""
        if not self.own:
            return f"score >= {self.default!r}"
        from segcli.store.query import literal  # loads DuckDB, which eval does without

        cases = " ".join(f"WHEN {literal(name)} THEN {s!r}" for name, s in self.own.items())
        return f"score >= CASE category {cases} ELSE {self.default!r} END"

    @property
    def varies(self) -> bool:
        """Whether the score depends on the category."""
        return len({*self.own.values()}) > 1

    @property
    def span(self) -> str:
        """As in "0.62", or "0.31 to 0.7"."""
        scores = [*self.own.values()] or [self.default]
        return f"{min(scores):g} to {max(scores):g}" if self.varies else f"{scores[0]:g}"

    def __str__(self) -> str:
        """As in "0.62", or "0.31 to 0.7, depending on the class"."""
        return f"{self.span}, depending on the class" if self.varies else self.span


def min_scores(settings: Mapping[str, Any], asked: float | None) -> MinScores:
    """The minimum scores for an output with these settings; `asked`: the given `min_score`."""
    if asked is not None:
        return MinScores(asked)
    default, own = settings.get("default_score"), settings.get("default_scores") or {}
    if default is None:
        default = 0.0 if settings.get("imported_from") else _UNKNOWN
    return MinScores(
        float(default),
        {str(name): float(score) for name, score in own.items()},
    )


def default_sentence(settings: Mapping[str, Any]) -> str:
    """A text on the masks that are shown without `min_score`."""
    if settings.get("imported_from"):
        return "all masks, because annotations have no default score; see `min_score`"
    shown = min_scores(settings, None)
    if settings.get("default_score") is None:
        return f"masks with a score of at least {shown}, because the model's default is not known"
    if shown.own:
        return f"masks with a score of at least the default of their class: {shown}"
    return f"masks with a score of at least {shown}, the model's default"
