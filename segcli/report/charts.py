"""Coordinates of small SVG charts; the template has their colours and text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from segcli.stats import Statistics
from segcli.stats.classes import AREA_BINS_PER_TENFOLD, GRID, SCORE_BINS, counted_together
from segcli.store.query import Rows

WIDTH, HEIGHT = 300, 110  # units of a histogram
MOST_CLASSES = 12
SHADES = 8
"""How many steps of shade the page's style has."""
_LINES = 6  # classes in the time series
_STEPS_S = (1, 2, 5, 10, 30, 60, 300, 900, 1800, 3600, 7200, 21_600, 86_400, 604_800)
_MOST_POINTS = 120


@dataclass(frozen=True, slots=True)
class Histogram:
    """Bars (x, y, width, height) in WIDTH x HEIGHT units; `ticks` are (x, text); `top` is the
    number of masks at the upper end."""

    category: str
    category_id: int
    bars: tuple[tuple[float, float, float, float], ...]
    ticks: tuple[tuple[float, str], ...]
    top: str
    summary: str


@dataclass(frozen=True, slots=True)
class HeatMap:
    """Cells (x, y, share of the fullest cell), GRID x GRID of them."""

    category: str
    category_id: int
    cells: tuple[tuple[int, int, float], ...]


@dataclass(frozen=True, slots=True)
class Pairs:
    """A square table of images with two classes, (category, id) by (category, id): each cell is
    (images, 0..SHADES, share of the row's images)."""

    names: tuple[tuple[str, int], ...]
    lines: tuple[tuple[tuple[int, int, float], ...], ...]


@dataclass(frozen=True, slots=True)
class Series:
    """Lines over time, as (name, number, points): the number is the id of a category, and of a zone
    its place among the zones, from 1. Points are in 1000 x 100 units, y downwards, "x,y x,y" for
    each stretch with images. `ticks` are the numbers at the top, the middle and the bottom."""

    lines: tuple[tuple[str, int, tuple[str, ...]], ...]
    ticks: tuple[float, float, float]
    labels: tuple[str, ...]
    step: str


def histograms(found: Statistics, kind: str) -> list[Histogram]:
    """Of "score_bin" or "area_bin", one per class, all over the same range."""
    rows = found.classes[:MOST_CLASSES]
    used = [b for row in rows for b in found.bins[row["category_id"]][kind]]
    if not used:
        return []
    first, last = (0, SCORE_BINS - 1) if kind == "score_bin" else (min(used), max(used))
    return [_histogram(found, row, kind, range(first, last + 1)) for row in rows]


def _histogram(found: Statistics, row: Mapping[str, Any], kind: str, bins: range) -> Histogram:
    counts = found.bins[row["category_id"]][kind]
    top = max(counts.values())
    wide = WIDTH / len(bins)
    bars = tuple(
        (
            round(i * wide + 0.5, 1),
            round(HEIGHT * (1 - counts[b] / top), 1),
            round(wide - 1, 1),
            round(HEIGHT * counts[b] / top, 1),
        )
        for i, b in enumerate(bins)
        if b in counts
    )
    if kind == "score_bin":
        ticks = [(WIDTH * i / 4, f"{i / 4:g}") for i in range(5)]
        said = f"median {row['score_p50']:.2f}"
    else:
        ticks = [
            (wide * (b - bins[0]), _power(b // AREA_BINS_PER_TENFOLD))
            for b in bins
            if b % AREA_BINS_PER_TENFOLD == 0
        ]
        said = f"median {grouped(row['area_p50'])} px"
    return Histogram(row["category"], row["category_id"], bars, tuple(ticks), _short(top), said)


def grouped(value: float) -> str:
    """A whole number in thin groups of three."""
    return f"{value:,.0f}".replace(",", "\u202f")


def _short(count: int) -> str:
    """1234567 as 1.23M."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.3g}{unit}"
    return str(count)


def _power(exponent: int) -> str:
    names = {0: "1", 1: "10", 2: "100", 3: "1k", 4: "10k", 5: "100k", 6: "1M", 7: "10M"}
    return names.get(exponent, f"1e{exponent}")


def heat_maps(found: Statistics) -> list[HeatMap]:
    maps = []
    for row in found.classes[:MOST_CLASSES]:
        counts = found.bins[row["category_id"]]["cell"]
        top = max(counts.values(), default=1)
        cells = tuple(
            (cell % GRID, cell // GRID, round(n / top, 3)) for cell, n in sorted(counts.items())
        )
        maps.append(HeatMap(row["category"], row["category_id"], cells))
    return maps


def pairs(found: Statistics) -> Pairs | None:
    """Of the most frequent classes; None where there are not two."""
    rows = found.classes[:MOST_CLASSES]
    if len(rows) < 2:
        return None
    counts = counted_together(found.together, rows)
    lines = []
    for y, line in enumerate(counts):
        shares = [n / line[y] if line[y] else 0.0 for n in line]
        shades = [math.ceil(SHADES * share) for share in shares]
        lines.append(tuple(zip(line, shades, shares, strict=True)))
    return Pairs(tuple((r["category"], r["category_id"]) for r in rows), tuple(lines))


def series(rows: Rows, found: Statistics) -> Series | None:
    """Masks per image over time of the most frequent classes; None when no time passes.

    Needs the views `chosen` and `pictures`.
    """
    classes = {row["category_id"]: row["category"] for row in found.classes[:_LINES]}
    return _over_time(rows, found, "pictures", "chosen", "category_id", classes)


def zone_series(rows: Rows, found: Statistics) -> Series | None:
    """The same by zone, of the zones with the most masks; over the images of their cameras.

    Needs the views `zone_masks` and `zone_pictures`.
    """
    masks: dict[str, int] = {}
    for row in found.zones:
        masks[row["zone"]] = masks.get(row["zone"], 0) + row["masks"]
    zones = {name: name for name in sorted(masks, key=lambda name: -masks[name])[:_LINES]}
    return _over_time(rows, found, "zone_pictures", "zone_masks", "zone", zones, by_line=True)


def _over_time(
    rows: Rows,
    found: Statistics,
    pictures: str,
    masks: str,
    line: str,
    names: Mapping[Any, str],
    *,
    by_line: bool = False,
) -> Series | None:
    """Masks per image for each value of the column `line` in `names`; `by_line`: over the images
    with this value, too, instead of all. `pictures` and `masks` are views."""
    first, last = found.run["first"], found.run["last"]
    if first is None or last is None or first == last or not names:
        return None
    step = _step_of((last - first).total_seconds(), rows)
    # The first image is in the middle of its bin, so that small delays do not empty the next one.
    bin_ = f"floor((epoch(moment) - {_utc(first)}) / {step} + 0.5)::BIGINT"
    count = f"{bin_} AS b, count(*) FROM {{}} WHERE moment IS NOT NULL GROUP BY ALL"
    images: dict[Any, dict[int, int]] = {}
    for of, b, n in rows.tuples(f"SELECT {line if by_line else 'NULL'}, {count.format(pictures)}"):
        images.setdefault(of, {})[b] = n
    if not images:
        return None
    counts = {(of, b): n for of, b, n in rows.tuples(f"SELECT {line}, {count.format(masks)}")}
    end = max(1, *(b for bins in images.values() for b in bins))
    rates = {
        of: {
            b: counts.get((of, b), 0) / n
            for b, n in images.get(of if by_line else None, {}).items()
        }
        for of in names
    }
    top = _round_up(max((rate for bins in rates.values() for rate in bins.values()), default=0))
    lines = tuple(
        (name, of if isinstance(of, int) else number, _stretches(rates[of], end, top))
        for number, (of, name) in enumerate(names.items(), 1)
    )
    return Series(lines, (top, top / 2, 0), _labels(first, last), _step(step))


def _step_of(span: float, rows: Rows) -> int:
    """Seconds of a bin: at least what usually passes between two images, or most bins would be
    empty, and large enough for few points."""
    ((usual,),) = rows.tuples(
        "SELECT median(epoch(moment) - epoch(before)) FROM (SELECT moment, lag(moment) OVER "
        "(ORDER BY moment) AS before FROM (SELECT DISTINCT moment FROM pictures))"
    )
    for step in _STEPS_S:
        if span / step <= _MOST_POINTS and step >= 0.98 * (usual or 0):  # cron is seconds late
            return step
    return _STEPS_S[-1]


def _stretches(rates: Mapping[int, float], end: int, top: float) -> tuple[str, ...]:
    """The points of one line: bin -> its rate; a bin without images parts the line."""
    stretches: list[list[str]] = []
    before: int | None = None
    for b in sorted(rates):
        if before is None or b > before + 1:
            stretches.append([])
        stretches[-1].append(f"{1000 * b / end:.0f},{100 * (1 - rates[b] / top):.1f}")
        before = b
    # A point alone is drawn as a line to itself, which has round ends.
    return tuple(" ".join(s if len(s) > 1 else 2 * s) for s in stretches)


def _round_up(value: float) -> float:
    """The next number that an axis ends with: 1, 2, 3, 4, 6, 8, 10 and so on."""
    if value <= 0:
        return 1.0
    scale = 10.0 ** math.floor(math.log10(value))
    return next(n * scale for n in (1, 2, 3, 4, 6, 8, 10) if n * scale >= value * 0.999999)


def _utc(moment: datetime) -> float:
    """DuckDB's epoch()."""
    if moment.tzinfo:
        return moment.timestamp()
    return (moment - datetime(1970, 1, 1)).total_seconds()


def _labels(first: datetime, last: datetime) -> tuple[str, ...]:
    """Of the left end, the middle and the right end."""
    moments: Sequence[datetime] = (first, first + (last - first) / 2, last)
    same_day = first.date() == last.date()
    form = "%H:%M:%S" if same_day else "%Y-%m-%d %H:%M"
    return tuple(moment.strftime(form) for moment in moments)


def _step(seconds: int) -> str:
    for size, name in ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= size:
            count = seconds // size
            return name if count == 1 else f"{count} {name}s"
    return "moment"
