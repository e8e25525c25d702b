"""A log of runs as a file of JSON lines, to which each run appends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from segcli.cli.ending import Ending, noting_the_end
from segcli.cli.progress import Json
from segcli.files import reporting
from segcli.pipeline.events import Event, Report

_EVERY_S = 60.0


@contextmanager
def json_log(path: Path | None, run_id: str, report: Report) -> Iterator[Report]:
    """`report`, which also appends each event to the file at `path`, progress once a minute.

    The last line of a run is the event `ended` with its exit code and error. Raises OutputError if
    the file cannot be opened; a disk that is full later does not end the run.
    """
    if path is None:
        yield report
        return
    with reporting(path, "append to"):
        file = open(path, "a", encoding="utf-8")  # noqa: SIM115  closed below
    log = Json(run_id, file, every_s=_EVERY_S)

    def both(event: Event) -> None:
        report(event)
        log(event)

    def close(ending: Ending) -> None:
        log.write("ended", exit_code=int(ending.exit_code), error=ending.reason)
        with suppress(OSError):  # of a full disk, which must not end a run that went well
            file.close()

    with noting_the_end(both, close) as noted:
        yield noted
