"""The differences of two outputs, per class and per group, and sentences on the changes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from segcli.errors import UsageError
from segcli.stats.groups import label, parts_of_text
from segcli.stats.statistics import Statistics, StatsOptions, measured, prepared, score_of
from segcli.stats.zones import GROUP
from segcli.store import MinScores
from segcli.store.query import Rows

PSI_BINS = 10
PSI_MODERATE, PSI_LARGE = 0.1, 0.25
"""The usual limits of the population stability index."""

_FLOOR = 1e-4  # the least share of a bin, or an empty one would make the index infinite
_ENOUGH = 50  # masks; of fewer the distribution says nothing
_SOME = 10  # masks; of fewer a rate says nothing
_RATE_MOVED = 0.2  # a change of the masks per image that is worth a sentence


@dataclass(frozen=True, slots=True)
class Drift:
    """`classes`: one mapping per class of either output, and per group where there are groups,
    which the columns `now.titles` name; "before" is the other, older output."""

    now: Statistics
    before: Statistics
    classes: list[dict[str, Any]]
    sentences: list[str]


def compare(options: StatsOptions, other: StatsOptions) -> Drift:
    """`options` is the output in question, `other` what it is compared with, both at the score of
    the former. Raises UsageError when they have no group in common."""
    min_score = score_of(options)
    options, other = (replace(o, min_score=min_score) for o in (options, other))
    (now, *new_values), (before, *old_values) = (_read(o, min_score) for o in (options, other))
    values = [*new_values, *old_values]
    refuse_unlike("--compare", now, before)
    sides = {"before": _rows(before), "now": _rows(now)}
    groups = {"before": {*before.group_names()}, "now": {*now.group_names()}}
    table = []
    for key in _keys(now, before):
        group, name = key
        row: dict[str, Any] = dict(zip(now.titles, group, strict=True)) | {"category": name}
        for side, rows in sides.items():
            rates = _rates(rows.get(key), group in groups[side])
            row |= {f"{field}_{side}": value for field, value in rates.items()}
        for kind in ("score", "area"):
            new, old = (v.get(key, {}).get(kind, []) for v in values)
            row[f"{kind}_psi"] = psi(old, new)
            row[f"{kind}_ks"] = ks(old, new)
        table.append(row)
    return Drift(now, before, table, sentences(table, now, before))


Key = tuple[tuple[str, ...], str]
"""(the parts of a group, a category); no parts where there are no groups"""


def _rows(found: Statistics) -> dict[Key, Mapping[str, Any]]:
    rows = found.groups if found.titles else found.classes
    return {(found.group_of(row), row["category"]): row for row in rows if row["category"]}


def _keys(now: Statistics, before: Statistics) -> list[Key]:
    """In the order of the groups; in each, the most frequent class now first."""
    keys = dict.fromkeys([*_rows(now), *_rows(before)])
    return sorted(keys, key=lambda key: key[0])


def refuse_unlike(option: str, now: Statistics, before: Statistics) -> None:
    """Raise UsageError when both have groups and none in common, as two days by day."""
    new, old = now.group_names(), before.group_names()
    if new and old and not {*new} & {*old}:
        examples = (", ".join(" / ".join(name) for name in names[:3]) for names in (new, old))
        raise UsageError(
            f"{option}: the two outputs have no group in common ({' against '.join(examples)}); "
            f"group by hour-of-day, weekday, camera or folder to compare different times"
        )


def _rates(row: Mapping[str, Any] | None, exists: bool) -> dict[str, Any]:
    """`exists`: the group has images, so that no mask is a rate, too."""
    row = row or {}
    return {
        "masks": row.get("masks", 0),
        "per_image": row.get("per_image", 0.0 if exists else None),
        "score": row.get("score_p50"),
        "area": row.get("area_p50"),
    }


Counts = Sequence[tuple[float, int]]
"""(value, how often), ascending values."""


def _read(
    options: StatsOptions, min_score: MinScores
) -> tuple[Statistics, dict[Key, dict[str, Counts]]]:
    """Both from one preparation, which reads the header of every image where there are some."""
    with prepared(options, min_score) as rows:
        found = measured(options, min_score, rows)
        masks = f"(SELECT * REPLACE ({GROUP} AS grp) FROM zone_masks)"
        masks = masks if "zone" in found.by else "chosen"
        return found, _values(rows, masks, grouped=bool(found.titles))


def _values(rows: Rows, masks: str, *, grouped: bool) -> dict[Key, dict[str, Counts]]:
    """Group and category -> "score", "area" -> its distribution: scores to four digits, areas to
    three.

    Rounding bounds the memory by the number of different values, not of masks.
    """
    found: dict[Key, dict[str, Counts]] = {}
    for kind, value in (
        ("score", "round(score, 4)"),
        (
            "area",
            "round(area / power(10, floor(log10(area)) - 2)) * power(10, floor(log10(area)) - 2)",
        ),
    ):
        for group, name, points, counts in rows.tuples(_distribution(value, masks)):
            key = (parts_of_text(group) if grouped else (), name)
            found.setdefault(key, {})[kind] = list(zip(points, counts, strict=True))
    return found


def _distribution(value: str, masks: str) -> str:
    return (
        f"SELECT grp, category, list(v ORDER BY v), list(n ORDER BY v) FROM (SELECT grp, category, "
        f"{value} AS v, count(*) AS n FROM {masks} GROUP BY ALL) GROUP BY grp, category"
    )


def ks(one: Counts, other: Counts) -> float | None:
    """The Kolmogorov-Smirnov distance, 0..1: the largest gap between the cumulative shares."""
    if not one or not other:
        return None
    totals = [sum(n for _, n in counts) for counts in (one, other)]
    steps = sorted(
        [(value, n / totals[0]) for value, n in one]
        + [(value, -n / totals[1]) for value, n in other]
    )
    gap = largest = 0.0
    for index, (value, step) in enumerate(steps):
        gap += step
        if index + 1 == len(steps) or steps[index + 1][0] != value:
            largest = max(largest, abs(gap))
    return largest


def psi(before: Counts, now: Counts) -> float | None:
    """The population stability index over ten bins with as many values each before."""
    if not before or not now:
        return None
    limits = _limits(before)
    shares = [_shares(counts, limits) for counts in (before, now)]
    pairs = zip(*shares, strict=True)
    return float(sum((new - old) * math.log(new / old) for old, new in pairs))


def _limits(counts: Counts) -> list[float]:
    """The upper limits of the bins but for the last; fewer where values repeat a lot."""
    total, seen = sum(n for _, n in counts), 0
    limits: list[float] = []
    for value, n in counts[:-1]:
        seen += n
        if seen >= total * (len(limits) + 1) / PSI_BINS and len(limits) < PSI_BINS - 1:
            limits.append(value)
    return limits


def _shares(counts: Counts, limits: Sequence[float]) -> list[float]:
    sums, index = [0] * (len(limits) + 1), 0
    for value, n in counts:
        while index < len(limits) and value > limits[index]:
            index += 1
        sums[index] += n
    total = sum(sums)
    return [max(s / total, _FLOOR) for s in sums]


def sentences(table: Sequence[Mapping[str, Any]], now: Statistics, before: Statistics) -> list[str]:
    """What moved, the most telling first; one sentence when nothing did."""
    told = [text for row in table if (text := _sentence(row, now.titles))]
    failed = [s.run["failed"] / max(1, s.run["failed"] + s.run["done"]) for s in (before, now)]
    if failed[1] > failed[0] + 0.01:
        told.insert(0, f"failed images: {failed[0]:.1%} before, {failed[1]:.1%} now")
    return told or ["nothing moved: rates within 20 %, all distributions stable (PSI below 0.1)"]


def _sentence(row: Mapping[str, Any], titles: Sequence[str]) -> str | None:
    old, new = row["per_image_before"], row["per_image_now"]
    name = f"{label(row, titles)}, {row['category']}" if titles else row["category"]
    most = max(row["masks_before"], row["masks_now"])
    if titles and most < _SOME:
        return None  # a group with a handful: there are many such groups
    if not row["masks_before"] or not row["masks_now"]:
        which = "only now" if row["masks_now"] else "not any more"
        return f"{name}: {which} ({row['masks_before']} masks before, {row['masks_now']} now)"
    told = []
    if most >= _SOME and abs(new / old - 1) > _RATE_MOVED:
        word = "more" if new > old else "fewer"
        change = f"{abs(new / old - 1):.0%} {word}"
        if new >= 2 * old:
            change = f"{_short(new / old)} times as many"
        told.append(f"{change} per image ({old:.3g} before, {new:.3g} now)")
    for kind, high, low in (("score", "higher", "lower"), ("area", "larger", "smaller")):
        index, a, b = row[f"{kind}_psi"], row[f"{kind}_before"], row[f"{kind}_now"]
        enough = min(row["masks_before"], row["masks_now"]) >= _ENOUGH
        if enough and index is not None and index >= PSI_MODERATE:
            size = "much " if index >= PSI_LARGE else ""
            word = high if b > a else low
            what = "scores" if kind == "score" else "objects"
            told.append(f"{what} {size}{word} (median {_short(a)} to {_short(b)}, PSI {index:.2f})")
    return f"{name}: {'; '.join(told)}" if told else None


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
