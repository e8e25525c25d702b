"""Rules that a cron job watches: "person: count/hour < 0.2 * previous"."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from segcli.errors import UsageError
from segcli.stats.statistics import Statistics
from segcli.suggest import did_you_mean

_RULE = re.compile(
    r"(?P<subject>.+?)\s*:\s*(?P<metric>[a-z/]+)\s*(?P<sign><=|>=|<|>)\s*"
    r"(?:(?P<factor>[0-9.e+-]+)\s*\*\s*(?P<previous>previous)|(?P<same>previous)|"
    r"(?P<value>[0-9.e+-]+))\s*",
)
_SIGNS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_OF_CLASS = ("count", "count/image", "count/hour", "images", "score", "area")
_OF_RUN = ("images", "failed", "empty", "failed/image", "empty/image")
RUN = "run"
"""The subject of a rule on the run as a whole."""


@dataclass(frozen=True, slots=True)
class Rule:
    """`metric` of `subject` (a class, or RUN), `sign`, then `factor`, of the previous output's
    value when `previous`."""

    text: str
    subject: str
    metric: str
    sign: str
    factor: float
    previous: bool

    def fires(self, now: Statistics, before: Statistics | None) -> str | None:
        """A sentence when the rule fires. Raises UsageError when there is nothing before."""
        value, limit = measured(now, self), self.factor
        if self.previous:
            if before is None:
                raise UsageError(f"--alert {self.text!r} needs the previous output: --compare DIR")
            limit *= measured(before, self)
        if not _SIGNS[self.sign](value, limit):
            return None
        said = f"{self.text}: {self.metric} of {self.subject} is {value:.4g}, limit {limit:.4g}"
        nothing = self.metric in ("score", "area") and not _row(now, self.subject)
        return f"{said} (there is no mask of it)" if nothing else said


def alerts(rules: Sequence[Rule], now: Statistics, before: Statistics | None) -> list[str]:
    """The sentences of the rules that fire.

    Raises UsageError as Rule.fires does, and for a class that neither run looked for: such a rule
    would never fire, or always.
    """
    known = [name for one in (now, before) if one for name in one.categories]
    for rule in rules:
        if rule.subject != RUN and rule.subject not in known:
            raise UsageError(
                f"--alert {rule.text!r}: the run looked for no {rule.subject!r}; it knows: "
                f"{', '.join(dict.fromkeys(known))}{did_you_mean(rule.subject, known)}"
            )
    return [said for rule in rules if (said := rule.fires(now, before))]


def parse(text: str) -> Rule:
    """Raises UsageError."""
    found = _RULE.fullmatch(text.strip())
    try:
        if found is None:
            raise ValueError
        factor = float(found["factor"] or found["value"] or 1)
    except ValueError:
        raise UsageError(
            f"--alert {text!r} is no rule; expected CLASS: METRIC < NUMBER, or NUMBER * previous, "
            f"as in 'person: count/hour < 0.2 * previous'"
        ) from None
    subject, metric = found["subject"], found["metric"]
    known = _OF_RUN if subject == RUN else _OF_CLASS
    if metric not in known:
        raise UsageError(
            f"--alert {text!r}: {'the run' if subject == RUN else 'a class'} has no metric "
            f"{metric!r}; it has: {', '.join(known)}"
        )
    previous = bool(found["previous"] or found["same"])
    return Rule(text.strip(), subject, metric, found["sign"], factor, previous)


def measured(found: Statistics, rule: Rule) -> float:
    """The value that a rule is about; 0 for a class that was not found at all.

    Raises UsageError for a rate per hour where the images have no times.
    """
    run = found.run
    if rule.subject == RUN:
        images = run["done"] + run["failed"]
        name, _, share = rule.metric.partition("/")
        value = float(images if name == "images" else run[name])
        return value / max(1, images) if share else value
    row = _row(found, rule.subject)
    masks = float(row.get("masks", 0))
    values = {
        "count": masks,
        "count/image": masks / max(1, run["done"]),
        "images": row.get("images_with", 0),
        "score": row.get("score_p50", 0),
        "area": row.get("area_p50", 0),
    }
    if rule.metric == "count/hour":
        return masks / hours(found, rule)
    return float(values[rule.metric])


def _row(found: Statistics, category: str) -> dict[str, Any]:
    return next((row for row in found.classes if row["category"] == category), {})


def hours(found: Statistics, rule: Rule) -> float:
    """From the first image to the last."""
    first, last = found.run["first"], found.run["last"]
    if first is None or last is None or last <= first:
        raise UsageError(
            f"--alert {rule.text!r}: the images of {found.masks} do not span any time; give "
            f"--time-pattern or --time-column"
        )
    return float((last - first).total_seconds()) / 3600
