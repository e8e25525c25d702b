"""Alert rules for cron jobs, such as "person: count/hour < 0.2 * previous", "person in gate:
entries > 100" and "camera: frozen > 0.5"."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from segcli.errors import UsageError
from segcli.stats.cameras import IN_HOURS, METRICS, needs_views
from segcli.stats.drift import refuse_unlike
from segcli.stats.groups import label
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
_OF_TRACKS = ("tracks", "entries", "exits", "dwell")
_OF_ZONE = (*_OF_CLASS, *_OF_TRACKS)
_OF_GROUP = tuple(metric for metric in _OF_CLASS if metric != "count/hour")
_MEDIANS = ("score", "area", "dwell")
_FIELDS = {
    "tracks": "tracks",
    "entries": "entries",
    "exits": "exits",
    "dwell": "dwell_p50_s",
    "count": "masks",
    "count/image": "per_image",
    "images": "images_with",
    "score": "score_p50",
    "area": "area_p50",
}
_UNITS = {**dict.fromkeys(("age", "gap", *IN_HOURS), "h"), "dwell": "s", "area": "px"}
_OF_RUN = ("images", "failed", "empty", "failed/image", "empty/image", "gap")
RUN = "run"
"""The subject of a rule on the run as a whole."""
CAMERA = "camera"
"""The subject of a rule on each camera; with a name after it, on that one. Only METRICS make a rule
one on cameras, because a class may have this name, too."""


@dataclass(frozen=True, slots=True)
class Rule:
    """`metric` of `subject` (a class, RUN or CAMERA), `sign`, then `factor`, of the previous
    output's value when `previous`. `subject` may be "CLASS in ZONE", see `placed`."""

    text: str
    subject: str
    metric: str
    sign: str
    factor: float
    previous: bool
    zone: str | None = None

    @property
    def name(self) -> str:
        """What the rule is about."""
        return self.subject if self.zone is None else f"{self.subject} in {self.zone}"

    @property
    def is_of_cameras(self) -> bool:
        return self.metric in METRICS and self.subject.split(" ")[0] == CAMERA

    def placed(self, categories: Sequence[str], zones: Sequence[str]) -> Rule:
        """The rule with its `zone`, if its subject is not one of the categories but "CLASS in
        ZONE". Raises UsageError for what is not known, and a metric that needs a zone."""
        if self.is_of_cameras:
            return self
        category, between, zone = self.subject.rpartition(" in ")
        if self.subject in (RUN, *categories) or not between or category not in categories:
            if self.subject not in (RUN, *categories):
                raise UsageError(
                    f"--alert {self.text!r}: the run has no class {self.subject!r}; it has: "
                    f"{', '.join(categories)}{did_you_mean(self.subject, categories)}"
                )
            if self.metric in _OF_TRACKS:
                raise UsageError(
                    f"--alert {self.text!r}: {self.metric} is of a zone; write CLASS in ZONE: "
                    f"{self.metric} ..."
                )
            return self
        if zone not in zones:
            known = f"it has: {', '.join(zones)}" if zones else "it has none: give --zones FILE"
            raise UsageError(
                f"--alert {self.text!r}: the run has no zone {zone!r}; {known}"
                f"{did_you_mean(zone, zones)}"
            )
        return replace(self, subject=category, zone=zone)

    def fires(self, now: Statistics, before: Statistics | None) -> list[str]:
        """A sentence for each group where the rule fires, or for the whole without groups.

        Raises UsageError when the output before is missing, or a group has no such metric.
        """
        if self.previous and before is None:
            raise UsageError(f"--alert {self.text!r} needs the previous output: --compare DIR")
        if self.is_of_cameras:
            return self._in_cameras(now)
        if now.titles and self.zone is None:
            self._refuse_without_groups()
            if now.groups or self.previous:
                return self._in_groups(now, before)
        value, limit = measured(now, self), self.factor
        if self.previous and before is not None:
            limit *= measured(before, self)
        said = self._said(value, limit, "")
        nothing = self.metric in _MEDIANS and not _row(now, self)
        return [f"{line} (there is no mask of it)" if nothing else line for line in said]

    def _in_cameras(self, now: Statistics) -> list[str]:
        """A sentence for each camera. Raises UsageError where nothing is known of one."""
        name = self.subject.removeprefix(CAMERA).strip()
        names = [row["camera"] for row in now.cameras]
        rows = [row for row in now.cameras if name in ("", row["camera"])]
        _refuse_without_images(now, self)
        if not rows:
            of = f"of camera {name!r} " if name else ""
            known = f"; those with times are of: {', '.join(names)}" if names else ""
            raise UsageError(
                f"--alert {self.text!r}: no image {of}in {now.masks} has a time{known}"
                f"{did_you_mean(name, names)}"
            )
        if needs_views(self.metric) and all(row[self.metric] is None for row in rows):
            raise UsageError(
                f"--alert {self.text!r}: {self.metric} is known only where segcli predict ran with "
                f"--skip-static; {now.masks} has images without it"
            )
        found = [(row["camera"], row[self.metric]) for row in rows if row[self.metric] is not None]
        return [line for place, n in found for line in self._said(n, self.factor, f" in {place}")]

    def _in_groups(self, now: Statistics, before: Statistics | None) -> list[str]:
        """A group that the previous output lacks has nothing to compare with. One that is gone now
        has no images: it is compared as 0, and the sentence says so. A gap in time is no zero, and
        without a mask there is no median: nothing fires."""
        values = group_values(now, self)
        limits: dict[str, float | None] = dict.fromkeys(values, self.factor)
        if self.previous and before is not None:
            old = group_values(before, self)
            refuse_unlike(f"--alert {self.text!r}", now, before)
            limits = {name: None if n is None else self.factor * n for name, n in old.items()}
        said = []
        for name, limit in limits.items():
            value = values.get(name)
            is_gone = value is None and self.previous and self.metric not in _MEDIANS
            if is_gone and limit is not None:
                lines = self._said(0.0, limit, f" in {name}")
                said += [f"{line} (there are no images of it)" for line in lines]
            elif value is not None and limit is not None:
                said += self._said(value, limit, f" in {name}")
        return said

    def _refuse_without_groups(self) -> None:
        if self.subject == RUN or self.metric not in _OF_GROUP:
            what = "on the run" if self.subject == RUN else f"on {self.metric}"
            raise UsageError(
                f"--alert {self.text!r}: with --by a rule holds for each group, and a rule {what} "
                f"cannot; leave out --by, or use {', '.join(_OF_GROUP)} of a class"
            )

    def _said(self, value: float, limit: float, place: str) -> list[str]:
        """One sentence if the rule fires there."""
        if not _SIGNS[self.sign](value, limit):
            return []
        now, compared = self._shown(value), ""
        if self.previous:  # else the rule states the limit
            compared = f", limit {self._shown(limit)}"
        return [f"{self.text}: {now} now{place}{compared}"]

    def _shown(self, value: float) -> str:
        """With its unit, as in 1.47 h."""
        unit = _UNITS.get(self.metric, "")
        digits = 3 if unit == "h" else 4
        number = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}"
        return f"{number} {unit}".rstrip()


def alerts(rules: Sequence[Rule], now: Statistics, before: Statistics | None) -> list[str]:
    """The sentences of the rules that fire.

    Raises UsageError as Rule.fires does, and for a class that neither run looked for: such a rule
    would never fire, or always.
    """
    both = [one for one in (now, before) if one is not None]
    known = [*dict.fromkeys(name for one in both for name in one.categories)]
    zones = [*dict.fromkeys(row["zone"] for one in both for row in one.zones)]
    rules = [rule.placed(known, zones) for rule in rules]
    return [said for rule in rules for said in rule.fires(now, before)]


def parse(text: str) -> Rule:
    """Raises UsageError."""
    found = _RULE.fullmatch(text.strip())
    try:
        if found is None:
            raise ValueError
        factor = float(found["factor"] or found["value"] or 1)
    except ValueError:
        raise UsageError(
            f"--alert {text!r} is not a rule; expected CLASS: METRIC < NUMBER, or NUMBER * "
            f"previous, as in 'person: count/hour < 0.2 * previous'"
        ) from None
    subject, metric = found["subject"], found["metric"]
    previous = bool(found["previous"] or found["same"])
    rule = Rule(text.strip(), subject, metric, found["sign"], factor, previous)
    if rule.is_of_cameras:
        if previous:
            raise UsageError(f"--alert {text!r}: a rule on cameras needs a number after the sign")
        return rule
    known = _OF_RUN if subject == RUN else _OF_ZONE
    if metric not in known:
        raise UsageError(
            f"--alert {text!r}: {'the run' if subject == RUN else 'a class'} has no metric "
            f"{metric!r}; it has: {', '.join(known)}{_of_cameras(subject)}"
        )
    return rule


def _of_cameras(subject: str) -> str:
    is_one = subject.split(" ")[0] == CAMERA
    return f"; a camera has: {', '.join(METRICS)}" if is_one else ""


def measured(found: Statistics, rule: Rule) -> float:
    """The value that a rule is about; 0 for a class that was not found at all.

    Raises UsageError for a gap or a rate per hour where the images have no times.
    """
    run = found.run
    if rule.subject == RUN and rule.metric == "gap":
        hours(found, rule)
        return float(run["gap"]["hours"])
    if rule.subject == RUN:
        images = run["done"] + run["failed"]
        name, _, share = rule.metric.partition("/")
        value = float(images if name == "images" else run[name])
        return value / max(1, images) if share else value
    row = _row(found, rule)
    if rule.metric == "count/hour":
        return float(row.get("masks", 0)) / hours(found, rule)
    if rule.metric in _OF_TRACKS and not any("tracks" in each for each in found.zones):
        raise UsageError(
            f"--alert {rule.text!r}: {rule.metric} needs tracks, and {found.masks} has none; make "
            f"them with segcli track"
        )
    return float(row.get(_FIELDS[rule.metric]) or 0)


def group_values(found: Statistics, rule: Rule) -> dict[str, float | None]:
    """The value of each group: 0 without a mask of the class, None for a median and for a gap."""
    nothing = None if rule.metric in _MEDIANS else 0.0
    values = {label(row, found.titles): nothing if row["images"] else None for row in found.groups}
    for row in found.groups:
        if row["category"] == rule.subject:
            values[label(row, found.titles)] = float(row[_FIELDS[rule.metric]])
    return values


def _row(found: Statistics, rule: Rule) -> dict[str, Any]:
    rows = found.classes
    if rule.zone is not None:
        rows = [row for row in found.zones if row["zone"] == rule.zone]
    return next((row for row in rows if row["category"] == rule.subject), {})


def hours(found: Statistics, rule: Rule) -> float:
    """From the first image to the last."""
    _refuse_without_images(found, rule)
    first, last = found.run["first"], found.run["last"]
    if first is None or last is None or last <= first:
        raise UsageError(
            f"--alert {rule.text!r}: the images of {found.masks} do not span any time; give "
            f"--time-pattern or --time-column"
        )
    return float((last - first).total_seconds()) / 3600


def _refuse_without_images(found: Statistics, rule: Rule) -> None:
    if not found.run["done"] + found.run["failed"]:
        raise UsageError(
            f"--alert {rule.text!r}: no image of {found.masks} is counted; --where-image and --key "
            "leave out all of them, or there are none"
        )
