"""`segcli stats`: statistics of an output."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from segcli.cli.options import (
    Key,
    Masks,
    MinScore,
    Static,
    TimeColumn,
    TimePattern,
    Where,
    WhereImage,
    Wide,
    Zones,
)
from segcli.cli.output_checks import refuse_places
from segcli.plurals import counted

if TYPE_CHECKING:
    from segcli.stats import Drift, Statistics, StatsOptions

By = Annotated[
    str,
    typer.Option(
        metavar="WHAT",
        help="Group by category, folder, camera, hour, hour-of-day, day, weekday, zone, track or "
        "column:NAME; several with commas.",
    ),
]
Images = Annotated[
    str | None,
    typer.Option(
        metavar="SOURCE",
        help="Read times and cameras from the EXIF of these images (or from a manifest).",
    ),
]
Compare = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Show the changes since this earlier output."),
]
CompareKey = Annotated[
    str | None,
    typer.Option(metavar="PATTERN", help="The --key of the output in --compare; default: --key."),
]
CompareWhereImage = Annotated[
    str | None,
    typer.Option(metavar="SQL", help="The --where-image of the output in --compare; likewise."),
]
Alert = Annotated[
    list[str] | None,
    typer.Option(
        metavar="RULE",
        help="Exit with 6 if this is true, e.g. 'person: count/hour < 0.2 * previous'.",
    ),
]
Format = Annotated[
    Literal["table", "json", "csv", "parquet", "markdown"],
    typer.Option(help="The output format."),
]
Out = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write to this file instead of stdout.")
]
Runs = Annotated[
    bool, typer.Option("--runs", help="List the runs with their speeds instead of the classes.")
]
Pruned = Annotated[
    bool,
    typer.Option("--pruned", help="Show the daily counts that segcli prune --keep-counts kept."),
]
Plots = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Write plots as PNG and SVG into this folder.")
]


# fmt: off
def stats(
    masks: Masks,
    by: By = "category",
    # which masks and which images
    where: Where = None, min_score: MinScore = None,
    key: Key = None, where_image: WhereImage = None, static: Static = "repeat",
    # when and with what they were taken
    time_pattern: TimePattern = None, time_column: TimeColumn = None, images: Images = None,
    zones: Zones = None,
    # what has changed
    compare: Compare = None, compare_key: CompareKey = None,
    compare_where_image: CompareWhereImage = None,
    alert: Alert = None,
    # what is written
    format: Format = "table", out: Out = None, plots: Plots = None, wide: Wide = False,
    runs: Runs = False, pruned: Pruned = False,
) -> None:
    """Count and measure the masks in DIR, per class or per group.

    Exit codes: 0, 2 wrong usage, 6 an --alert fired, 7 cannot write.
    """
    # fmt: on
    from segcli.errors import AlertFired
    from segcli.stats import StatsOptions, alerts, parse, statistics

    refuse_places({"--out": out, "--plots": plots})
    if pruned:
        chosen = (where, min_score, key, where_image, time_pattern, time_column, images, zones)
        given = (*chosen, compare, alert, plots, by != "category", runs)
        _show_pruned(masks, format, out, wide=wide, is_alone=not any(given))
        return
    rules = [parse(rule) for rule in alert or ()]
    options = StatsOptions(
        masks=masks, min_score=min_score, where=where, key=key, where_image=where_image, by=by,
        time_pattern=time_pattern, time_column=time_column, images=images, zones=zones,
        static=static, cameras=any(rule.is_of_cameras for rule in rules),
    )  # fmt: skip
    drift = _drift(options, compare, compare_key, compare_where_image)
    found = statistics(options) if drift is None else drift.now
    for note in dict.fromkeys([*found.notes, *(drift.before.notes if drift else ())]):
        typer.echo(note, err=True)
    fired = alerts(rules, found, drift.before if drift else None)
    if runs:
        _refuse_unknown_runs(found)
    _write(found, drift, format, out, wide=wide, runs=runs)
    if plots is not None:
        _plot(found, plots)
    if fired:
        raise AlertFired("; ".join(fired))


def _show_pruned(
    masks: Path, format: str, out: Path | None, *, wide: bool, is_alone: bool
) -> None:
    """`is_alone`: no other option chooses or groups what is counted."""
    from segcli.errors import UsageError
    from segcli.retention import kept_counts

    if not is_alone:
        raise UsageError(
            "--pruned: the counts are shown as they were kept; use only --format, --out and --wide"
        )
    table = kept_counts(masks)
    if format == "table" and out is None:
        from segcli.cli.stats_table import show_counts

        show_counts(table, wide=wide)
        return
    _write_table(table, format, out, lambda: json.dumps(table, indent=2, ensure_ascii=False))


def _refuse_unknown_runs(found: Statistics) -> None:
    from segcli.errors import UsageError

    if not found.run["runs"]:
        raise UsageError(
            f"--runs: {found.masks} does not state its runs: it was imported, or has more than "
            f"2,000 parts"
        )


def _drift(
    options: StatsOptions, masks: Path | None, key: str | None, where_image: str | None
) -> Drift | None:
    """Against the output `masks`, with its own filters of images, or those in `options`."""
    from dataclasses import replace

    from segcli.errors import UsageError
    from segcli.stats import compare

    if masks is None:
        if key is not None or where_image is not None:
            raise UsageError(
                "--compare-key and --compare-where-image choose images of the output in "
                "--compare: give --compare DIR, which may be the same output"
            )
        return None
    key = options.key if key is None else key
    where_image = options.where_image if where_image is None else where_image
    return compare(options, replace(options, masks=masks, key=key, where_image=where_image))


def _write(
    found: Statistics, drift: Drift | None, format: str, out: Path | None, *, wide: bool, runs: bool
) -> None:
    from segcli.stats import as_json, table_of

    table = table_of(found) if drift is None else drift.classes
    if runs:
        table = found.run["runs"]
    if out is not None:
        with suppress(OSError):  # writing the file reports the problem
            out.parent.mkdir(parents=True, exist_ok=True)
    if format == "table" and out is None:
        from segcli.cli.stats_table import show, show_runs

        if runs:
            show_runs(found, wide=wide)
        else:
            show(found, drift, wide=wide)
        return
    _write_table(table, format, out, lambda: as_json(found, drift))


def _write_table(
    table: Sequence[Mapping[str, Any]], format: str, out: Path | None, as_json: Callable[[], str]
) -> None:
    from segcli.errors import UsageError
    from segcli.stats import as_csv, as_markdown
    from segcli.store.query import write_parquet

    if format == "parquet":
        if out is None:
            raise UsageError("--format parquet is binary: give --out FILE")
        write_parquet(table, out)
        return
    make: dict[str, Callable[[], str]] = {"json": as_json, "csv": lambda: as_csv(table)}
    text = make.get(format, lambda: as_markdown(table))()
    if out is None:
        typer.echo(text, nl=not text.endswith("\n"))
        return
    from segcli.files import write_text

    write_text(out, text)


def _plot(found: Statistics, folder: Path) -> None:
    from segcli.stats.plots import write_plots
    from segcli.viz.palette import as_hex, colour_of

    written = write_plots(found, folder, lambda number: as_hex(colour_of(number)))
    typer.echo(f"{counted(len(written), 'plot')} in {folder}", err=True)
