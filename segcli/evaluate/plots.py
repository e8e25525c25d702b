"""Plots of an evaluation, for a folder or for the HTML page."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segcli.evaluate.diagnosis import Diagnosis
from segcli.evaluate.evaluation import Evaluation
from segcli.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CLASSES_SHOWN = 12
_COLOUR, _FAINT = "#2b6cb0", "#a0aec0"


def draw(evaluation: Evaluation, diagnosis: Diagnosis) -> dict[str, bytes]:
    """PNG bytes by name: curves, confusion, calibration, errors, thresholds."""
    figures = {
        "precision-recall": _precision_recall(evaluation),
        "errors": _errors(diagnosis),
        "confusion": _confusion(diagnosis),
        "calibration": _calibration(diagnosis),
        "best-scores": _best_scores(diagnosis),
    }
    return {name: _png(figure) for name, figure in figures.items()}


def save(pictures: dict[str, bytes], folder: Path) -> list[Path]:
    """Raises OutputError when the folder cannot be written."""
    paths = [folder / f"{name}.png" for name in pictures]
    for path, picture in zip(paths, pictures.values(), strict=True):
        write_bytes(path, picture)
    return paths


def data_uri(picture: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(picture).decode()


def _figure(title: str, *, wide: float = 6.4, tall: float = 4.4) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(wide, tall), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title)
    return figure, axes


def _png(figure: Figure) -> bytes:
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=110, metadata={"Software": ""})
    return target.getvalue()


def _precision_recall(evaluation: Evaluation) -> Figure:
    assert evaluation.curves is not None, "diagnose has asked for curves before"
    figure, axes = _figure("Precision and recall")
    recalls = np.linspace(0, 1, 101)
    for threshold, at, colour in ((0.5, 0, _COLOUR), (0.75, 5, "#dd6b20"), (0.9, 8, "#718096")):
        curves = evaluation.curves.precision[at, :, :, 0, -1]  # (R, K)
        there = curves[:, (curves > -1).all(0)]
        if there.shape[1]:
            axes.plot(recalls, there.mean(1), color=colour, label=f"IoU {threshold}")
    axes.set(xlabel="recall", ylabel="precision, mean of the classes", xlim=(0, 1), ylim=(0, 1.02))
    if axes.lines:
        axes.legend()
    return figure


def _errors(diagnosis: Diagnosis) -> Figure:
    figure, axes = _figure("Gain from fixing each kind of error")
    names = list(diagnosis.tide)[::-1]
    bars = axes.barh(names, [diagnosis.tide[name][0] for name in names], color=_COLOUR)
    axes.bar_label(bars, labels=[f"{diagnosis.tide[name][1]}x" for name in names], padding=3)
    axes.margins(x=0.12)  # room for the last label
    axes.set_xlabel("points of AP50")
    return figure


def _confusion(diagnosis: Diagnosis) -> Figure:
    """The classes with most mistakes; each row sums to 1."""
    matrix = np.array(diagnosis.confusion, dtype=float)
    mistakes = matrix.sum(1) + matrix.sum(0) - 2 * np.diag(matrix)
    shown = np.sort(np.argsort(-mistakes[:-1], kind="stable")[:_CLASSES_SHOWN])
    kept = [*shown.tolist(), len(matrix) - 1]
    part = matrix[np.ix_(kept, kept)]
    share = part / np.maximum(matrix[kept].sum(1, keepdims=True), 1)
    names = [diagnosis.names[i] for i in shown]
    figure, axes = _figure(f"Confusion at scores from {diagnosis.min_score:g}", wide=7, tall=6)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(kept)), [*names, "missed"], rotation=60, ha="right")
    axes.set_yticks(range(len(kept)), [*names, "background"])
    axes.set(xlabel="found", ylabel="is")
    for (i, j), count in np.ndenumerate(part):
        if count:
            colour = "white" if share[i, j] > 0.5 else "black"
            axes.text(j, i, f"{count:.0f}", ha="center", va="center", color=colour, fontsize=8)
    return figure


def _calibration(diagnosis: Diagnosis) -> Figure:
    bins: list[dict[str, Any]] = [b for b in diagnosis.calibration["bins"] if b["count"]]
    error = diagnosis.calibration["expected_error"]
    figure, axes = _figure(f"Is a score a probability? (off by {error:.3f} on average)")
    axes.plot([0, 1], [0, 1], color=_FAINT, linestyle="--")
    middles = [(b["bin_lower"] + b["bin_upper"]) / 2 for b in bins]
    axes.bar(middles, [b["avg_accuracy"] for b in bins], width=0.09, color=_COLOUR)
    axes.set(xlabel="score", ylabel="share that is right (IoU 0.5)", xlim=(0, 1), ylim=(0, 1.02))
    return figure


def _best_scores(diagnosis: Diagnosis) -> Figure:
    known = [one for one in diagnosis.best_scores if one.score is not None]
    known = sorted(known, key=lambda one: -one.f1)[: 2 * _CLASSES_SHOWN][::-1]
    figure, axes = _figure("The best score to cut at", tall=max(2.5, 0.25 * len(known) + 1.5))
    axes.barh([one.name for one in known], [one.f1 for one in known], color=_FAINT, label="F1")
    scores = [one.score for one in known if one.score is not None]
    axes.plot(scores, range(len(known)), "o", color=_COLOUR, label="score")
    axes.set_xlim(0, 1)
    if known:
        axes.legend(loc="lower right")
    return figure
