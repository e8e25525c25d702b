"""Plot the curves of a training: losses, and the AP of every validation."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from segcli.stats.style import FAINT, STYLE, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = ("#2b6cb0", "#dd6b20", "#2f855a", "#805ad5", "#b83280", "#718096")
_SMOOTH = 0.9  # of the exponential mean of the losses


def draw_curves(out: Path, validations: list[dict[str, Any]]) -> list[Path]:
    """Write curves.png and curves.svg from `out`/log.jsonl and the entries of the history.

    Raises OutputError.
    """
    steps: list[int] = []
    losses: dict[str, list[float]] = defaultdict(list)
    for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        steps.append(entry["step"])
        for name, value in entry["losses"].items():
            losses[name].append(value)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.6) if validations else (5, 3.6))
        columns = figure.subplots(1, 1 + bool(validations), squeeze=False)[0]
        _draw_losses(columns[0], steps, losses)
        if validations:
            _draw_validations(columns[1], validations)
        return save(figure, out / "curves")


def _draw_losses(axes: Axes, steps: list[int], losses: dict[str, list[float]]) -> None:
    """Each loss as its exponential mean; as measured, faintly, behind it."""
    for index, (name, values) in enumerate(losses.items()):
        colour = _COLOURS[index % len(_COLOURS)]
        axes.plot(steps, values, color=colour, alpha=0.2, lw=0.6)
        axes.plot(steps, _smoothed(values), color=colour, lw=1.4, label=name.replace("_", " "))
    axes.set(title="Losses", xlabel="step", xlim=(0, None), ylim=(0, _upper(losses)))
    if losses:
        axes.legend(fontsize=8)


def _upper(losses: dict[str, list[float]]) -> float | None:
    """Above nearly all values: the first steps of a new head would flatten the rest."""
    values = [value for series in losses.values() for value in series]
    return float(np.quantile(values, 0.99)) * 1.1 if values else None


def _smoothed(values: list[float]) -> list[float]:
    found: list[float] = []
    for value in values:
        found.append(value if not found else _SMOOTH * found[-1] + (1 - _SMOOTH) * value)
    return found


def _draw_validations(axes: Axes, validations: list[dict[str, Any]]) -> None:
    """AP as lines and AP50 as dotted ones, a colour for each set."""
    steps = [entry["step"] for entry in validations]
    names = [one["name"] for one in validations[-1]["sets"]]
    for index, name in enumerate(names):
        colour = _COLOURS[index % len(_COLOURS)]
        sets = [one for entry in validations for one in entry["sets"] if one["name"] == name]
        if len(sets) == len(steps):
            axes.plot(steps, [one["ap"] for one in sets], "o-", color=colour, ms=3, label=name)
            axes.plot(steps, [one["ap50"] for one in sets], ":", color=colour)
    axes.set(title="Mask AP (dotted: AP50)", xlabel="step", xlim=(0, None), ylim=(0, 1))
    axes.yaxis.grid(color=FAINT, alpha=0.2)
    axes.legend(fontsize=8)
