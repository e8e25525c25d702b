"""An evaluation on the terminal: one table, and beside it what did not match."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from segcli.evaluate import Evaluation
    from segcli.evaluate.bootstrap import Comparison
    from segcli.evaluate.diagnosis import Diagnosis

_WIDE, _ABREAST = 120, 6


def show(
    result: Evaluation,
    matching: list[str],
    *,
    diagnosis: Diagnosis | None,
    comparison: Comparison | None,
    per_class: bool,
) -> None:
    """The account of the matching on stderr, the numbers on stdout."""
    for line in matching:
        typer.echo(line, err=True)
    console = Console(file=sys.stdout, highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _WIDE  # nobody's window: a file or a pipe must not lose digits
    tables = [_summary(result)]
    if per_class:
        tables.append(_classes(result, diagnosis))
    if diagnosis is not None:
        tables += [_errors(diagnosis), _worst(diagnosis)]
    if comparison is not None:
        tables.append(_difference(comparison))
    for table in tables:
        # Inside the table a title longer than the table would be broken.
        title, table.title = table.title, None
        console.print(title, style="bold", soft_wrap=True)
        console.print(table)


def _summary(result: Evaluation) -> Table:
    case = result.case
    objects = sum(one.objects for one in result.classes)
    title = (
        f"{result.iou} by {result.engine}: {len(case.images)} images, {objects} objects, "
        f"{len(case.scores)} detections"
    )
    table = _table(title)
    table.show_header = False
    names = list(result.metrics)
    for _ in range(_ABREAST):
        table.add_column(justify="right", no_wrap=True)
    for first in range(0, len(names), _ABREAST):
        own = names[first : first + _ABREAST]
        table.add_row(*own, style="bold")
        table.add_row(*(_number(result.metrics[name], 3) for name in own))
    return table


def _classes(result: Evaluation, diagnosis: Diagnosis | None) -> Table:
    """Sorted by what they cost where that is known, else as the ground truth has them.

    Those with neither an object nor a detection are left out. "cut at": the score of the best F1.
    """
    table = _table("classes")
    table.add_column("class")
    for name in ("AP", "AP50", "AP75", "AR", "objects", "found"):
        table.add_column(name, justify="right", no_wrap=True)
    rows = list(zip(result.classes, [0.0] * len(result.classes), strict=True))
    if diagnosis is not None:
        table.add_column("costs", justify="right", no_wrap=True)
        table.add_column("cut at", justify="right", no_wrap=True)
        rows = sorted(zip(result.classes, diagnosis.costs, strict=True), key=lambda row: -row[1])
    best = {one.name: one for one in diagnosis.best_scores} if diagnosis else {}
    for one, cost in rows:
        if not one.objects and not one.detections:
            continue
        cells = [one.name, *(_number(v, 3) for v in (one.ap, one.ap50, one.ap75, one.ar))]
        cells += [str(one.objects), str(one.detections)]
        if diagnosis is not None:
            score = best[one.name].score
            cells += [f"{cost:.2f}", "-" if score is None else f"{score:.3f}"]
        table.add_row(*cells)
    return table


def _errors(diagnosis: Diagnosis) -> Table:
    from segcli.evaluate.diagnosis import MEANING

    table = _table("what a repair would bring, in points of AP50")
    table.add_column("error")
    table.add_column("AP50", justify="right")
    table.add_column("how many", justify="right")
    table.add_column("")
    for name, (points, count) in diagnosis.tide.items():
        table.add_row(name, f"{points:.2f}", str(count), MEANING[name])
    return table


def _worst(diagnosis: Diagnosis) -> Table:
    table = _table(f"worst images at scores from {diagnosis.min_score:g}")
    table.add_column("image", overflow="fold")
    for name in ("missed", "missed px", "false", "false px"):
        table.add_column(name, justify="right")
    for one in diagnosis.worst:
        cells = (str(one.missed), f"{one.missed_px:.0f}", str(one.false), f"{one.false_px:.0f}")
        table.add_row(one.key, *cells)
    return table


def _difference(comparison: Comparison) -> Table:
    table = _table(f"against {comparison.other}, {comparison.images} images")
    table.add_column("")
    for name in ("this", "other", "difference", "95 % interval"):
        table.add_column(name, justify="right")
    for name, one in comparison.differences.items():
        table.add_row(
            name,
            _number(one.first),
            _number(one.second),
            f"{one.difference:+.4f}{' *' if one.certain else ''}",
            f"{one.low:+.4f} to {one.high:+.4f}",
        )
    return table


def _table(title: str) -> Table:
    from rich.box import SIMPLE

    return Table(title=title, box=SIMPLE, padding=(0, 1, 0, 0))


def _number(value: float, digits: int = 4) -> str:
    return "-" if value < 0 else f"{value:.{digits}f}"
