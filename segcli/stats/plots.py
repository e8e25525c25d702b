"""Plots of the statistics as PNG and SVG, with matplotlib."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from segcli.stats.classes import AREA_BINS_PER_TENFOLD, GRID, SCORE_BINS, counted_together
from segcli.stats.groups import label
from segcli.stats.statistics import Statistics
from segcli.stats.style import FAINT, INK, LINE, STYLE, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Colours = Callable[[int], str]
"""Category id -> "#rrggbb"."""

_SHOWN = 12  # classes in one plot; more cannot be told apart
_LINES = 6  # classes in the plot of groups
_PANELS = 6  # groups in the plot over time
_TIMES = {"hour": "%Y-%m-%d %H:%M", "day": "%Y-%m-%d"}


def write_plots(found: Statistics, folder: Path, colours: Colours) -> list[Path]:
    """The files that were written: each plot as PNG, light, and as SVG, light or dark as the
    reader's system is. Raises OutputError."""
    made: dict[str, Callable[[], Figure]] = {
        "classes": lambda: _bars(found, colours),
        "scores": lambda: _histograms(found, colours, "score_bin"),
        "areas": lambda: _histograms(found, colours, "area_bin"),
        "positions": lambda: _positions(found),
        "together": lambda: _together(found),
    }
    if found.groups:
        made["groups"] = lambda: _groups(found, colours)
    written = []
    with mpl.rc_context(STYLE):
        for name, make in made.items() if found.classes else ():
            written += save(make(), folder / name)
    return written


def _shown(found: Statistics) -> list[dict[str, Any]]:
    return found.classes[:_SHOWN]


def _title(figure: Figure, text: str) -> None:
    figure.suptitle(text, x=0.012, ha="left", fontsize=12, fontweight="bold")


def _counts(axis: Any) -> None:
    """An axis of whole numbers, few of them, with commas."""
    axis.set_major_locator(MaxNLocator(4, integer=True))
    axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def _bars(found: Statistics, colours: Colours) -> Figure:
    rows = _shown(found)[::-1]
    figure = Figure((7, 0.8 + 0.32 * len(rows)))
    axes = figure.subplots()
    masks = [row["masks"] for row in rows]
    hues = [colours(row["category_id"]) for row in rows]
    bars = axes.barh(range(len(rows)), masks, color=hues, height=0.68, ec=LINE, lw=0.4)
    axes.bar_label(bars, [f"{n:,}" for n in masks], color=FAINT, padding=4, fontsize=9)
    axes.set_yticks(range(len(rows)), [_plain(row["category"]) for row in rows], fontsize=10)
    axes.tick_params("y", left=False, labelcolor=INK)
    axes.tick_params("x", bottom=False, labelbottom=False)
    axes.spines["bottom"].set_visible(False)
    axes.margins(x=0.1, y=0.02)
    _title(figure, "Masks per class" + _left_away(found))
    return figure


def _left_away(found: Statistics) -> str:
    more = len(found.classes) - _SHOWN
    return f", the {_SHOWN} most frequent of {len(found.classes)}" if more > 0 else ""


def _histograms(found: Statistics, colours: Colours, kind: str) -> Figure:
    rows = _shown(found)
    columns = min(3, len(rows))
    lines = -(-len(rows) // columns)
    figure = Figure((max(4.2, 2.9 * columns), 0.7 + 1.6 * lines))
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True)
    used = [b for row in rows for b in found.bins[row["category_id"]][kind]]
    score = kind == "score_bin"
    first, last = (0, SCORE_BINS - 1) if score else (min(used), max(used))
    edges = [_edge(kind, b) for b in range(first, last + 2)]
    for axes, row in zip(grid.flat, rows, strict=False):
        bins = found.bins[row["category_id"]][kind]
        values = [bins.get(b, 0) for b in range(first, last + 1)]
        hue = colours(row["category_id"])
        axes.stairs(values, edges, fill=True, fc=hue, ec=LINE, lw=0.4)
        axes.set_title(_plain(row["category"]))
        axes.tick_params("x", labelbottom=True)
        axes.set_ylim(0, 1.08 * max(values))
        _counts(axes.yaxis)
        if not score:
            axes.set_xscale("log")
            axes.xaxis.set_minor_locator(MaxNLocator(1))
    _clear(grid.flat, len(rows))
    what = "Scores" if score else "Areas in px"
    _title(figure, what + _left_away(found))
    return figure


def _edge(kind: str, index: int) -> float:
    return index / SCORE_BINS if kind == "score_bin" else 10 ** (index / AREA_BINS_PER_TENFOLD)


def _positions(found: Statistics) -> Figure:
    rows = _shown(found)
    columns = min(4, len(rows))
    lines = -(-len(rows) // columns)
    figure = Figure((max(4.2, 2.0 * columns), 0.6 + 1.95 * lines))
    grid = figure.subplots(lines, columns, squeeze=False)
    for axes, row in zip(grid.flat, rows, strict=False):
        cells = found.bins[row["category_id"]]["cell"]
        values = [[cells.get(GRID * y + x, 0) for x in range(GRID)] for y in range(GRID)]
        axes.imshow(values, cmap="cividis", extent=(0, 1, 1, 0), aspect="equal")
        axes.set_title(_plain(row["category"]))
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
    _clear(grid.flat, len(rows))
    _title(figure, "Where in the image" + _left_away(found))
    return figure


def _together(found: Statistics) -> Figure:
    rows = _shown(found)
    values = counted_together(found.together, rows)
    size = 1.6 + 0.5 * len(rows)
    figure = Figure((size + 0.8, size))
    axes = figure.subplots()
    top = max(max(line) for line in values) or 1
    # The square root: pairs are rare beside the classes themselves, on the diagonal.
    axes.imshow(values, cmap="cividis", norm=PowerNorm(0.5, 0, top))
    for y, line in enumerate(values):
        for x, value in enumerate(line):
            ink = "#000000" if value > 0.35 * top else "#fefefe"
            axes.text(x, y, f"{value:,}", ha="center", va="center", color=ink, fontsize=8)
    names = [_plain(row["category"]) for row in rows]
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize=9)
    axes.set_yticks(range(len(names)), names, fontsize=9)
    axes.tick_params(length=0, labelcolor=INK)
    axes.spines[:].set_visible(False)
    _title(figure, "Images with both classes")
    return figure


def _groups(found: Statistics, colours: Colours) -> Figure:
    """Lines over time, one panel for each other group; bars where there is no time."""
    time = next(
        (title for title, by in zip(found.titles, found.by, strict=True) if by in _TIMES), ""
    )
    panels = _panels(found, time) if time else {}
    return _lines(found, time, panels, colours) if panels else _group_bars(found, colours)


def _panels(found: Statistics, time: str) -> dict[str, list[dict[str, Any]]]:
    """What the groups are besides their `time` -> the rows with a known one, most images first."""
    others = [title for title in found.titles if title != time]
    panels: dict[str, list[dict[str, Any]]] = {}
    for row in found.groups:
        if row[time] != "unknown" and row["images"]:
            panels.setdefault(label(row, others), []).append(row)
    return dict(
        sorted(panels.items(), key=lambda p: -sum({r[time]: r["images"] for r in p[1]}.values()))
    )


def _lines(
    found: Statistics, time: str, panels: dict[str, list[dict[str, Any]]], colours: Colours
) -> Figure:
    """Masks per image; a line is drawn only between hours, or days, that follow one another."""
    by = found.by[found.titles.index(time)]
    step = timedelta(hours=1) if by == "hour" else timedelta(days=1)
    shown = dict(list(panels.items())[:_PANELS])
    figure = Figure((8.5, 1.1 + 2.3 * len(shown)))
    grid = figure.subplots(len(shown), squeeze=False, sharex=True, sharey=True)
    for axes, (name, rows) in zip(grid.flat, shown.items(), strict=True):
        labels = sorted({row[time] for row in rows})
        for one in found.classes[:_LINES]:
            identity = one["category_id"]
            rates = {r[time]: r["per_image"] for r in rows if r["category_id"] == identity}
            points = [(datetime.strptime(x, _TIMES[by]), rates.get(x, 0.0)) for x in labels]
            times, values = _with_gaps(points, step)
            look = {"color": colours(identity), "label": _plain(one["category"])}
            axes.plot(times, values, marker="o", ms=3, **look)
        axes.set_title(_plain(name))
        axes.set_ylabel("masks per image")
    grid.flat[0].set_ylim(0)
    grid.flat[0].legend(loc="upper left", bbox_to_anchor=(1, 1))
    grid.flat[-1].tick_params("x", rotation=30)
    more = f", {_PANELS} of {len(panels)} groups" if len(panels) > _PANELS else ""
    _title(figure, f"Masks per image, by {_by(found)}{more}")
    return figure


def _with_gaps(
    points: Sequence[tuple[datetime, float]], step: timedelta
) -> tuple[list[datetime], list[float]]:
    """The points, with a value that is not a number wherever a step has no footage."""
    times: list[datetime] = []
    values: list[float] = []
    for moment, value in points:
        if times and moment - times[-1] > step:
            times.append(times[-1] + step)
            values.append(math.nan)
        times.append(moment)
        values.append(value)
    return times, values


def _group_bars(found: Statistics, colours: Colours) -> Figure:
    labels = list(dict.fromkeys(label(row, found.titles) for row in found.groups))
    if len(labels) > 1 and "unknown" in labels:
        labels.remove("unknown")
    figure = Figure((min(14, 5 + 0.16 * len(labels)), 3.4))
    axes = figure.subplots()
    shown = found.classes[:_LINES]
    wide = 0.8 / len(shown)
    for number, row in enumerate(shown):
        identity = row["category_id"]
        mine = [g for g in found.groups if g["category_id"] == identity]
        rates = {label(g, found.titles): g["per_image"] for g in mine}
        places = [x + (number - (len(shown) - 1) / 2) * wide for x in range(len(labels))]
        look: dict[str, Any] = {"color": colours(identity), "label": _plain(row["category"])}
        axes.bar(places, [rates.get(x, 0) for x in labels], wide, ec=LINE, lw=0.4, **look)
    axes.set_ylim(0)
    axes.set_ylabel("masks per image")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    step = -(-len(labels) // 24)
    names = [_plain(x) for x in labels[::step]]
    crowded = sum(map(len, names)) > 60
    turned: dict[str, Any] = {"rotation": 40, "ha": "right"} if crowded else {}
    axes.set_xticks(range(0, len(labels), step), names, **turned)
    _title(figure, f"Masks per image, by {_by(found)}")
    return figure


def _by(found: Statistics) -> str:
    return " and ".join(by.removeprefix("column:") for by in found.by)


def _clear(grid: Any, used: int) -> None:
    axes: Sequence[Axes] = list(grid)
    for one in axes[used:]:
        one.set_axis_off()


def _plain(text: str) -> str:
    """Dollars would begin a formula, and a name may be as long as it likes."""
    short = text if len(text) <= 32 else text[:31] + "…"
    return short.replace("$", r"\$").replace("\n", " ")
