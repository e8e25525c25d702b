"""Show the events of a run: a bar on a terminal, plain lines elsewhere, or JSON lines."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

from segcli.cli.streams import shows_bars
from segcli.cli.wording import worded
from segcli.pipeline.events import Event, Loading, Note, Progress, Report, Started, Summary
from segcli.plurals import counted

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

EVERY_S = 30.0  # between two plain lines


@contextmanager
def reporter(log_format: str, *, quiet: bool, run_id: str = "") -> Iterator[Report]:
    """A function that shows events: progress goes to stderr, the summary and JSON to stdout."""
    if log_format == "json":
        yield Json(run_id) if not quiet else _ignore
    elif quiet:
        yield _ignore
    elif shows_bars():
        with _bar() as bar:
            yield Terminal(bar)
    else:
        yield Lines()


def _ignore(event: Event) -> None:
    pass


def _say(text: str, stream: TextIO) -> None:
    """Print a line. A closed pipe, or a full disk under a log file, must not end a run that takes
    hours."""
    with suppress(OSError, ValueError):
        print(text, file=stream, flush=True)


class Json:
    """Prints one object per event and line, on stdout or into `file`; progress at most once in
    `every_s` seconds.

    Each object has the time in UTC and the id of the run, which the parts record, too.
    """

    def __init__(self, run_id: str, file: TextIO | None = None, *, every_s: float = 1.0) -> None:
        self._run_id = run_id
        self._file = file
        self._every_s = every_s
        self._last = float("-inf")

    def __call__(self, event: Event) -> None:
        if isinstance(event, Progress):
            if time.monotonic() - self._last < self._every_s:
                return
            self._last = time.monotonic()
        self.write(_event_name(event), **asdict(event))

    def write(self, event: str, **values: object) -> None:
        """Print one object."""
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "run": self._run_id,
            "event": event,
            **values,
        }
        _say(json.dumps(line, ensure_ascii=True), self._file or sys.stdout)


def _event_name(event: Event) -> str:
    """ImageFailed -> image_failed."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()


class Lines:
    """Prints lines on stderr (start, progress every 30 s, notes) and the summary on stdout."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Progress):
            if time.monotonic() - self._last < EVERY_S:
                return
            self._last = time.monotonic()
            _say(progress_line(event), sys.stderr)
        elif isinstance(event, Summary):
            _say(summary_text(event), sys.stdout)
        elif isinstance(event, Loading):
            _say(loading_line(event), sys.stderr)
        elif isinstance(event, Started):
            _say(started_line(event), sys.stderr)
        elif isinstance(event, Note):
            _say(worded(event.message), sys.stderr)


@dataclass(slots=True)
class Terminal:
    """Shows a progress bar of rich on stderr."""

    bar: Bar
    task: TaskID | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, Loading):
            self.bar.console.print(loading_line(event), markup=False, highlight=False)
        elif isinstance(event, Started):
            self.bar.console.print(started_line(event), markup=False, highlight=False)
            self.task = self.bar.add_task("", total=None, rate=0.0, masks=0, failed=0)
            self.bar.start()
        elif isinstance(event, Progress) and self.task is not None:
            self.bar.update(
                self.task,
                completed=event.images,
                total=event.total,
                rate=event.images_per_s,
                masks=event.masks,
                failed=event.failed,
            )
        elif isinstance(event, Note):
            self.bar.console.print(worded(event.message), markup=False, highlight=False)
        elif isinstance(event, Summary):
            self.bar.stop()
            _say(summary_text(event), sys.stdout)


@contextmanager
def _bar() -> Iterator[Bar]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    bar = Bar(
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("{task.fields[rate]:.1f} images/s"),
        TextColumn("{task.fields[masks]} masks"),
        TextColumn("{task.fields[failed]} failed"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    try:
        yield bar
    finally:
        bar.stop()


def loading_line(event: Loading) -> str:
    return f"loading {event.model} ({event.weights})"


def started_line(event: Started) -> str:
    before = f"; the output has {images(event.in_output)}" if event.in_output else ""
    runtime = " with OpenVINO" if event.runtime == "openvino" else ""
    return (
        f"{event.source} -> {event.out}: {event.model} ({event.weights}) on {event.device}, "
        f"{event.precision}{runtime}{before}"
    )


def progress_line(event: Progress) -> str:
    done = f"{event.images:,} of " if event.total is not None else ""
    total = event.images if event.total is None else event.total
    eta = "" if event.eta_s is None else f", {duration(event.eta_s)} left"
    return (
        f"{done}{images(total)}, {event.images_per_s:.1f} images/s, "
        f"{counted(event.masks, 'mask')}, {event.failed:,} failed{eta}"
    )


def summary_text(event: Summary) -> str:
    """The summary of a run in a few lines, with a query for the failed rows."""
    missing = missing_lines(event)
    if event.planned is not None:
        line = (
            f"dry run: {images(event.planned)} to do, {event.earlier:,} done before "
            f"({event.earlier_failed:,} of them failed); nothing was written"
        )
        return "\n".join([line, *missing])
    before = f"{images(event.earlier)} done before"
    if event.earlier_failed:
        before += f", {event.earlier_failed:,} of them failed (retry them: --retry-failed)"
    if event.is_out_of_time and not event.images:
        return f"out of time before the first image of {event.out}: {before}"
    if not event.images:
        return "\n".join([f"nothing new to do in {event.out}: {before}", *missing])
    lines = [
        f"{images(event.images)}, {counted(event.masks, 'mask')}, {event.failed:,} failed in "
        f"{duration(event.seconds)} ({event.images_per_s:.1f} images/s) -> {event.out}"
        + (f"; {before}" if event.earlier else "")
    ]
    if event.static:
        are = "is static and was" if event.static == 1 else "are static and were"
        lines.append(f"{event.static:,} of these images {are} not processed (column `repeats`)")
    if event.masks and event.default_score is not None and event.min_score is not None:
        kept, shown = event.min_score, event.default_score
        by_class = " or that of the class" if event.scores_by_class else ""
        if shown > kept:
            lines.append(
                f"masks are kept from a score of {kept:g}; viz, stats, report and export show "
                f"those from the model's default score, {shown:g}{by_class}"
            )
    if event.is_out_of_time:
        lines.append("out of time (--max-time): run the same command again for what is left")
    if event.redone:
        lines.append(f"{images(event.redone)} of these replaced: changed, or failed before")
    if event.repeated:
        lines.append(f"listed more than once, done once: {images(event.repeated)}")
    lines += unpartitioned_lines(event)
    lines += missing
    if event.warnings:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(event.warnings.items()))
        lines.append(f"images with a warning: {kinds} (column `warning`, docs/formats.md)")
    if event.failed:
        lines += failed_lines(event)
    return "\n".join(lines)


def missing_lines(event: Summary) -> list[str]:
    """The number of rows without a file that were removed, and of those that are left."""
    lines = []
    if event.pruned:
        lines.append(f"removed the rows of {images(event.pruned)} whose files are gone")
    if event.missing:
        lines.append(
            f"the output has rows of {images(event.missing)} whose files are gone "
            "(remove them: --prune-missing)"
        )
    return lines


def unpartitioned_lines(event: Summary) -> list[str]:
    """How many images are in a partition without a value."""
    if not event.unpartitioned:
        return []
    found = f"{event.unpartitioned:,} of {images(event.images)}"
    return [f"in a partition without a value, because the name does not state it: {found}"]


def failed_lines(event: Summary) -> list[str]:
    """The first failed images with their reasons, and how to list them all."""
    lines = [f"failed: {key}: {worded(reason)}" for key, reason in event.first_failures]
    return [*lines, f"all failed images, by DuckDB: {failed_query(event.out)}"]


def failed_query(out: str) -> str:
    """A DuckDB query for the failed images of an output and their reasons."""
    table = f"{out.rstrip('/')}/**/*.parquet".replace("'", "''")
    return f"SELECT key, error FROM read_parquet('{table}') WHERE status = 'failed'"


def images(count: int) -> str:
    return counted(count, "image")


def duration(seconds: float) -> str:
    """Seconds as text: 8.1 s, 12 min 5 s, 3 h 20 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min {int(seconds % 60)} s"
    return f"{minutes // 60} h {minutes % 60} min"
