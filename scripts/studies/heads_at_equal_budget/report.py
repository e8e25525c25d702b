"""Markdown tables of the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

KINDS = (("segm", "AP"), ("segm", "AP75"), ("bbox", "AP"), ("bbox", "AP75"), ("boundary", "AP"))
Row = Mapping[str, Any]


def tables(rows: Sequence[Row]) -> str:
    """For each validation set, means and deviations over the seeds, and the paired differences."""
    sets = dict.fromkeys(row["set"] for row in rows)
    return "\n\n".join(_table([row for row in rows if row["set"] == name]) for name in sets)


def _table(rows: Sequence[Row]) -> str:
    seeds = sorted({row["seed"] for row in rows})
    objects = sum(rows[0]["objects"].values())
    titles = [f"{'mask' if kind == 'segm' else kind} {name}" for kind, name in KINDS]
    lines = [
        f"{rows[0]['set']}: {objects} objects, {len(seeds)} seeds, {rows[0]['steps']} steps of "
        f"{rows[0]['batch']} images",
        "",
        f"| heads | {' | '.join(titles)} |",
        "|---" * (len(titles) + 1) + "|",
    ]
    ways = dict.fromkeys(row["way"] for row in rows)
    for way in ways:
        own = [row for row in rows if row["way"] == way]
        cells = [_spread([row[kind][name] for row in own]) for kind, name in KINDS]
        lines.append(f"| {way} | {' | '.join(cells)} |")
    lines += ["", f"| minus | {' | '.join(titles)} |", "|---" * (len(titles) + 1) + "|"]
    by = {(row["way"], row["seed"]): row for row in rows}
    for way in ways:
        baseline = by[way, seeds[0]].get("baseline")
        if baseline is None:
            continue
        cells = []
        for kind, name in KINDS:
            differences = [
                by[way, seed][kind][name] - by[baseline, seed][kind][name] for seed in seeds
            ]
            cells.append(_spread(differences, sign="+") + _intervals(by, way, seeds, kind, name))
        lines.append(f"| {way} - {baseline} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _spread(values: Sequence[float], sign: str = "") -> str:
    """Mean and standard deviation, in percent."""
    spread = f" ± {100 * stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * mean(values):{sign}.1f}{spread}"


def _intervals(
    by: Mapping[tuple[str, int], Row], way: str, seeds: Sequence[int], kind: str, name: str
) -> str:
    """In how many seeds the bootstrap's interval leaves out zero."""
    if kind == "boundary":
        return ""
    found = [by[way, seed][f"{kind} difference"].get(name) for seed in seeds]
    certain = sum(one is not None and (one[1] > 0 or one[2] < 0) for one in found)
    return f" ({certain} of {len(seeds)})"
