"""How a run ended, for the files that are written about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from segcli.errors import ExitCode, OutputError, SegcliError
from segcli.pipeline.events import Event, Note, Report, Summary


@dataclass(slots=True)
class Ending:
    """The summary of a run, zeros if it ended before, and the error that ended it."""

    summary: Summary = Summary(out="")
    error: BaseException | None = None

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of the run."""
        error = self.error
        if error is None:
            return ExitCode.SOME_FAILED if self.summary.failed else ExitCode.OK
        if isinstance(error, SegcliError):
            return error.exit_code
        if isinstance(error, KeyboardInterrupt):
            return ExitCode.INTERRUPTED
        return ExitCode.WORKERS_LOST if isinstance(error, MemoryError) else ExitCode.INTERNAL

    @property
    def reason(self) -> str | None:
        """The message of the error, or its name if it has none; None without an error."""
        return None if self.error is None else str(self.error) or type(self.error).__name__


@contextmanager
def noting_the_end(report: Report, write: Callable[[Ending], None]) -> Iterator[Report]:
    """`report`, which also notes the summary; `write` is called at the end, also after an error."""
    ending = Ending()

    def note(event: Event) -> None:
        if isinstance(event, Summary):
            ending.summary = event
        report(event)

    try:
        yield note
    except BaseException as error:  # whatever ends the run, no file may say that all is well
        ending.error = error
        raise
    finally:
        write(ending)


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
