"""Print an evaluation: tables on stdout, and what did not match on stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.text import Text

from segcli.cli.tables import TablePrinter
from segcli.plurals import counted

if TYPE_CHECKING:
    from segcli.evaluate import Evaluation
    from segcli.evaluate.bootstrap import Comparison
    from segcli.evaluate.diagnosis import Diagnosis
    from segcli.evaluate.full_report import FullReport

_ABREAST = 6


def show(report: FullReport, *, errors: bool, per_class: bool, wide: bool) -> None:
    """Print how the images matched to stderr, and the metrics to stdout."""
    for line in report.matching:
        typer.echo(line, err=True)
    printer = TablePrinter(wide=wide)
    diagnosis = report.diagnosis if errors else None
    _summary(printer, report.evaluation)
    if per_class:
        _classes(printer, report.evaluation, diagnosis)
    if diagnosis is not None:
        _errors(printer, diagnosis)
        _worst(printer, diagnosis)
    if report.comparison is not None:
        _difference(printer, report.comparison)
    printer.end()


def _summary(printer: TablePrinter, result: Evaluation) -> None:
    case = result.case
    objects = sum(one.objects for one in result.classes)
    printer.line(
        f"{result.iou} by {result.engine}: {counted(len(case.images), 'image')}, "
        f"{counted(objects, 'object')}, {counted(len(case.scores), 'detection')}",
        style="bold",
    )
    names = list(result.metrics)
    rows: list[list[str | Text]] = []
    for first in range(0, len(names), _ABREAST):
        own = names[first : first + _ABREAST]
        missing = [""] * (_ABREAST - len(own))
        rows.append([*(Text(name, style="bold") for name in own), *missing])
        rows.append([*(Text(_number(result.metrics[name], 3)) for name in own), *missing])
    printer.table([""] * _ABREAST, rows)


def _classes(printer: TablePrinter, result: Evaluation, diagnosis: Diagnosis | None) -> None:
    """Sorted by cost if it is known, otherwise in the order of the ground truth.

    Categories with neither an object nor a detection are left out. "cut at": the score of the best
    F1.
    """
    titles = ["class", "AP", "AP50", "AP75", "AR", "objects", "found"]
    rows = list(zip(result.classes, [0.0] * len(result.classes), strict=True))
    if diagnosis is not None:
        titles += ["costs", "cut at"]
        rows = sorted(zip(result.classes, diagnosis.costs, strict=True), key=lambda row: -row[1])
    best = {one.name: one for one in diagnosis.best_scores} if diagnosis else {}
    lines = []
    for one, cost in rows:
        if not one.objects and not one.detections:
            continue
        cells = [one.name, *(_number(v, 3) for v in (one.ap, one.ap50, one.ap75, one.ar))]
        cells += [str(one.objects), str(one.detections)]
        if diagnosis is not None:
            score = best[one.name].score
            cells += [f"{cost:.2f}", "-" if score is None else f"{score:.3f}"]
        lines.append(cells)
    printer.line("classes", style="bold")
    printer.table(titles, lines, optional=("AP75", "AR", "AP50"))


def _errors(printer: TablePrinter, diagnosis: Diagnosis) -> None:
    from segcli.evaluate.diagnosis import MEANING

    printer.line("points of AP50 that fixing each kind of error would gain", style="bold")
    rows = [
        [name, f"{points:.2f}", str(count), MEANING[name]]
        for name, (points, count) in diagnosis.tide.items()
    ]
    printer.table(["error", "AP50", "how many", "meaning"], rows, words=("meaning",))


def _worst(printer: TablePrinter, diagnosis: Diagnosis) -> None:
    printer.line(f"worst images at scores from {diagnosis.min_score:g}", style="bold")
    rows = [
        [one.key, str(one.missed), f"{one.missed_px:.0f}", str(one.false), f"{one.false_px:.0f}"]
        for one in diagnosis.worst
    ]
    titles = ["image", "missed", "missed px", "false", "false px"]
    printer.table(titles, rows, optional=("missed px", "false px"))


def _difference(printer: TablePrinter, comparison: Comparison) -> None:
    printer.line(f"against {comparison.other}, {counted(comparison.images, 'image')}", style="bold")
    rows = [
        [
            name,
            _number(one.first),
            _number(one.second),
            f"{one.difference:+.4f}{' *' if one.certain else ''}",
            f"{one.low:+.4f} to {one.high:+.4f}",
        ]
        for name, one in comparison.differences.items()
    ]
    printer.table(["metric", "this", "other", "difference", "95 % interval"], rows)


def _number(value: float, digits: int = 4) -> str:
    return "-" if value < 0 else f"{value:.{digits}f}"
