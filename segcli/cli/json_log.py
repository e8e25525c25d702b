"""A log of runs as a file of JSON lines, to which each run appends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from segcli.cli.ending import exit_code, reason
from segcli.cli.progress import Json
from segcli.files import reporting
from segcli.pipeline.events import Event, Report, Summary

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
    log, summaries = Json(run_id, file, every_s=_EVERY_S), [Summary(out="")]

    def both(event: Event) -> None:
        if isinstance(event, Summary):
            summaries.append(event)
        report(event)
        log(event)

    error: BaseException | None = None
    try:
        yield both
    except BaseException as raised:
        error = raised
        raise
    finally:
        log.write("ended", exit_code=int(exit_code(error, summaries[-1])), error=reason(error))
        with suppress(OSError):  # of a full disk, which must not end a run that went well
            file.close()
