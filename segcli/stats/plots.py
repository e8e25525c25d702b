"""Plots of the statistics as PNG and SVG: the one door to matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

from segcli.errors import OutputError
from segcli.stats.classes import AREA_BINS_PER_TENFOLD, GRID, SCORE_BINS
from segcli.stats.statistics import Statistics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Colours = Callable[[int], str]
"""Category id -> "#rrggbb"."""

_SHOWN = 12  # classes in one plot; more cannot be told apart
_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a8a8e",
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "svg.fonttype": "none",
    "svg.hashsalt": "segcli",
    "figure.constrained_layout.use": True,
}


def write_plots(found: Statistics, folder: Path, colours: Colours) -> list[Path]:
    """The files that were written. Raises OutputError."""
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
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with mpl.rc_context(_STYLE):
            for name, make in made.items() if found.classes else ():
                figure = make()
                for suffix in ("png", "svg"):
                    written.append(folder / f"{name}.{suffix}")
                    # No date inside: the same numbers give the same file.
                    kept = {"Date": None} if suffix == "svg" else None
                    figure.savefig(written[-1], dpi=144, metadata=kept)
    except OSError as error:
        raise OutputError(f"cannot write plots to {folder}: {error.strerror or error}") from None
    return written


def _shown(found: Statistics) -> list[dict[str, Any]]:
    return found.classes[:_SHOWN]


def _bars(found: Statistics, colours: Colours) -> Figure:
    rows = _shown(found)[::-1]
    figure = Figure((7, 1.2 + 0.34 * len(rows)))
    axes = figure.subplots()
    names = [_plain(row["category"]) for row in rows]
    masks = [row["masks"] for row in rows]
    bars = axes.barh(names, masks, color=[colours(row["category_id"]) for row in rows])
    axes.bar_label(bars, [f" {n:,}" for n in masks], color="#555")
    axes.set_title("Masks per class")
    axes.tick_params(left=False, bottom=False, labelbottom=False)
    axes.spines["bottom"].set_visible(False)
    axes.margins(x=0.12)
    return figure


def _histograms(found: Statistics, colours: Colours, kind: str) -> Figure:
    rows = _shown(found)
    columns = min(3, len(rows))
    figure = Figure((3.1 * columns, 0.5 + 1.9 * -(-len(rows) // columns)))
    grid = figure.subplots(-(-len(rows) // columns), columns, squeeze=False)
    used = [b for row in rows for b in found.bins[row["category_id"]][kind]]
    score = kind == "score_bin"
    first, last = (0, SCORE_BINS - 1) if score else (min(used), max(used))
    edges = [_edge(kind, b) for b in range(first, last + 2)]
    for axes, row in zip(grid.flat, rows, strict=False):
        bins = found.bins[row["category_id"]][kind]
        values = [bins.get(b, 0) for b in range(first, last + 1)]
        axes.stairs(values, edges, fill=True, color=colours(row["category_id"]))
        axes.set_title(_plain(row["category"]), fontsize=9)
        axes.tick_params(labelsize=8)
        if not score:
            axes.set_xscale("log")
    _clear(grid.flat, len(rows))
    figure.supxlabel("score" if score else "area, px", fontsize=9)
    return figure


def _edge(kind: str, index: int) -> float:
    return index / SCORE_BINS if kind == "score_bin" else 10 ** (index / AREA_BINS_PER_TENFOLD)


def _positions(found: Statistics) -> Figure:
    rows = _shown(found)
    columns = min(4, len(rows))
    figure = Figure((2.4 * columns, 0.4 + 2.1 * -(-len(rows) // columns)))
    grid = figure.subplots(-(-len(rows) // columns), columns, squeeze=False)
    for axes, row in zip(grid.flat, rows, strict=False):
        cells = found.bins[row["category_id"]]["cell"]
        values = [[cells.get(GRID * y + x, 0) for x in range(GRID)] for y in range(GRID)]
        axes.imshow(values, cmap="cividis", extent=(0, 1, 1, 0), aspect="equal")
        axes.set_title(_plain(row["category"]), fontsize=9)
        axes.set_xticks([])
        axes.set_yticks([])
    _clear(grid.flat, len(rows))
    figure.supxlabel("where in the image the boxes have their centres", fontsize=9)
    return figure


def _together(found: Statistics) -> Figure:
    rows = _shown(found)
    ids = [row["category_id"] for row in rows]
    values = [
        [
            found.together.get((a, b), found.together.get((b, a), 0)) if a != b else row["images"]
            for b in ids
        ]
        for a, row in zip(ids, rows, strict=True)
    ]
    size = 2.2 + 0.5 * len(rows)
    figure = Figure((size + 0.6, size))
    axes = figure.subplots()
    axes.imshow(values, cmap="cividis")
    top = max(max(line) for line in values) or 1
    for y, line in enumerate(values):
        for x, value in enumerate(line):
            ink = "black" if value > 0.6 * top else "white"
            axes.text(x, y, f"{value:,}", ha="center", va="center", color=ink, fontsize=8)
    names = [_plain(row["category"]) for row in rows]
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_title("Images with both classes")
    return figure


def _groups(found: Statistics, colours: Colours) -> Figure:
    labels = sorted({row["group"] for row in found.groups})
    figure = Figure((min(14, 4 + 0.18 * len(labels)), 3.6))
    axes = figure.subplots()
    for row in found.classes[:6]:
        number = row["category_id"]
        rates = {g["group"]: g["per_image"] for g in found.groups if g["category_id"] == number}
        values = [rates.get(label, 0) for label in labels]
        axes.plot(
            labels, values, marker="o", ms=3, color=colours(number), label=_plain(row["category"])
        )
    axes.set_title("Masks per image")
    axes.set_ylim(0)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    step = -(-len(labels) // 16)
    axes.set_xticks(
        range(0, len(labels), step), [_plain(x) for x in labels[::step]], rotation=40, ha="right"
    )
    return figure


def _clear(grid: Any, used: int) -> None:
    axes: Sequence[Axes] = list(grid)
    for one in axes[used:]:
        one.set_axis_off()


def _plain(text: str) -> str:
    """Dollars would begin a formula, and a name may be as long as it likes."""
    short = text if len(text) <= 32 else text[:31] + "…"
    return short.replace("$", r"\$").replace("\n", " ")
