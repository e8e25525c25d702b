"""How a run ended, for the files that are written about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from segcli.errors import ExitCode, OutputError, SegcliError
from segcli.pipeline.events import Note, Report, Summary


def exit_code(error: BaseException | None, summary: Summary) -> ExitCode:
    """The exit code of a run that ended with this error, None if there was none."""
    if error is None:
        return ExitCode.SOME_FAILED if summary.failed else ExitCode.OK
    if isinstance(error, SegcliError):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    return ExitCode.WORKERS_LOST if isinstance(error, MemoryError) else ExitCode.INTERNAL


def reason(error: BaseException | None) -> str | None:
    """The message of the error, or its name if it has none."""
    return None if error is None else str(error) or type(error).__name__


@contextmanager
def own_error_first(error: BaseException | None, report: Report) -> Iterator[None]:
    """Report an OutputError of the block as a note if the run ended with `error`, which decides
    about the exit code."""
    try:
        yield
    except OutputError as failed:
        if error is None:
            raise
        report(Note(str(failed)))
