"""Fetch published weights and show progress: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from segcli.cli.streams import shows_bars
from segcli.errors import UsageError

if TYPE_CHECKING:
    from segcli.models.download import Report

_EVERY_S = 30.0

Fetch = Annotated[
    bool,
    typer.Option(
        "--fetch", help="Fetch the model's published weights first if they are not installed."
    ),
]


def fetch_model(name: str, *, accept_licence: bool = False, quiet: bool = False) -> None:
    """Fetch the weights of a model unless they are installed. Raises UsageError."""
    from segcli.models.fetch import fetch

    def note(text: str) -> None:
        if not quiet:
            typer.echo(text, err=True)

    with _progress(quiet=quiet) as report:
        path = fetch(name, accept_licence=accept_licence, report=report, note=note)
    note(f"{name}: the weights are already installed" if path is None else f"{name}: {path}")


def fetch_for(model: str | None, weights: str | None, *, quiet: bool = False) -> None:
    """Implements --fetch; does nothing if the weights are installed. Raises UsageError."""
    from segcli.models import registry
    from segcli.models.fetch import is_here

    if weights is not None:
        raise UsageError(
            f"--fetch and --weights {weights} contradict each other: --fetch takes the published "
            "weights; give one of the two"
        )
    family, info = registry.find(model)
    if not is_here(family, info):
        fetch_model(f"{info.family}/{info.variant}", quiet=quiet)


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Report]:
    if quiet:
        yield lambda done, total: None
    elif shows_bars():
        with _bar() as report:
            yield report
    else:
        yield _Lines()


class _Lines:
    """Prints a line every 30 s."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, done: int, total: int | None) -> None:
        if time.monotonic() - self._last < _EVERY_S:
            return
        self._last = time.monotonic()
        of = "" if total is None else f" of {total / 1e6:.0f}"
        typer.echo(f"{done / 1e6:.0f}{of} MB", err=True)


@contextmanager
def _bar() -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task("", total=None, visible=False)

    def report(done: int, total: int | None) -> None:
        bar.update(task, completed=done, total=total, visible=True)

    with bar:
        yield report
