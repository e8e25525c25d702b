"""Run a prediction for `segcli predict`, and report on it in all the ways that were asked for."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import typer

from segcli.errors import ExitCode, UsageError
from segcli.pipeline import PredictOptions
from segcli.plurals import counted


class Reports(NamedTuple):
    """`log_format` and `quiet` are for the terminal; the others are files, None if not wanted."""

    log_format: str
    quiet: bool
    summary_json: Path | None
    metrics: Path | None
    log_json: Path | None


def run_and_report(options: PredictOptions, reports: Reports, nice: int = 0) -> None:
    """Raises typer.Exit if images failed, and SegcliError as `segcli.pipeline.predict` does."""
    # Set before torch is loaded: threads that wait should sleep. If other work shares the cores,
    # spinning makes small images up to twenty times slower, and it has no measurable benefit.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from segcli.cli.json_log import json_log
    from segcli.cli.metrics import metrics_file
    from segcli.cli.progress import failed_lines, reporter, unpartitioned_lines
    from segcli.cli.summary_file import summary_file
    from segcli.cloud.urls import shown as shown_path
    from segcli.pipeline import predict as run

    _refuse_inside(
        options.out,
        {
            "--summary-json": reports.summary_json,
            "--metrics": reports.metrics,
            "--log-json": reports.log_json,
        },
    )
    if nice:
        os.nice(nice)  # before workers start, which inherit it
    quiet, run_id, hint = reports.quiet, options.run_id, None
    if reports.log_format == "text" and not quiet and sys.stderr.isatty():
        from segcli.cli.hint import better_model

        hint = better_model(options)
    with (
        reporter(reports.log_format, quiet=quiet, run_id=run_id) as shown,
        summary_file(reports.summary_json, run_id, shown) as noted,
        metrics_file(reports.metrics, shown_path(options.out), noted) as measured,
        json_log(reports.log_json, run_id, measured) as report,
    ):
        summary = run(options, report=report)
    if hint is not None:
        typer.echo(hint, err=True)
    if quiet and summary.unpartitioned and summary.unpartitioned == summary.images:
        typer.echo("\n".join(unpartitioned_lines(summary)), err=True)
    if summary.failed:
        if quiet:
            typer.echo(f"{summary.failed} of {counted(summary.images, 'image')} failed", err=True)
            typer.echo("\n".join(failed_lines(summary)), err=True)
        raise typer.Exit(ExitCode.SOME_FAILED)


def _refuse_inside(out: Path, files: Mapping[str, Path | None]) -> None:
    """Raises UsageError if one of the files would be in an output, even if it is not there yet, or
    would overwrite another one."""
    from segcli.cli.output_checks import refuse_places

    refuse_places(files)
    taken: dict[str, str] = {}
    for option, path in files.items():
        if path is None:
            continue
        real = os.path.realpath(path)
        if Path(os.path.realpath(out)) in Path(real).parents:
            raise UsageError(
                f"{option} {path} is inside --out {out}, which may contain only parts; choose "
                f"another place"
            )
        other = taken.setdefault(real, option)
        if other != option and (path.is_file() or not path.exists()):  # a device can take both
            raise UsageError(
                f"{other} and {option} are the same file, {path}; give each a file of its own"
            )
