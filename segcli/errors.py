"""The errors that a user can cause, each with its exit code.

    SegcliError
    ├── UsageError     2  an argument, an input or a file is invalid
    ├── NothingDone    3  not a single image could be processed
    ├── Locked         4  another process is using the output
    ├── GateNotMet     5  a metric is below --fail-under
    ├── AlertFired     6  an alert rule of `stats` fired
    ├── OutputError    7  the output could not be written (disk full, read-only); resumable
    ├── WorkersLost    8  a device failed, no worker could be started, or memory ran out; resumable
    └── Interrupted  130  Ctrl-C (143: SIGTERM); finished work is committed; resumable

Three codes have no class here: 0 everything done (also if there was nothing new to do), 1 done, but
some images failed in this run, 70 an error in segcli itself. `ImageError` is not a SegcliError: it
makes one failed row and never ends a run.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of segcli; a test compares the README with this table."""

    OK = 0
    SOME_FAILED = 1
    USAGE = 2
    NOTHING_DONE = 3
    LOCKED = 4
    GATE_NOT_MET = 5
    ALERT_FIRED = 6
    OUTPUT = 7
    WORKERS_LOST = 8
    INTERNAL = 70  # EX_SOFTWARE of sysexits.h
    INTERRUPTED = 130
    TERMINATED = 143


class SegcliError(Exception):
    """An error that the user can cause and fix. The message states what was given, what was
    expected, and what to do next."""

    exit_code: ExitCode = ExitCode.USAGE


class UsageError(SegcliError):
    """An argument, an input or a file is invalid."""


class NothingDone(SegcliError):
    """Not a single image could be processed."""

    exit_code = ExitCode.NOTHING_DONE


class Locked(SegcliError):
    """Another process is using the output."""

    exit_code = ExitCode.LOCKED


class GateNotMet(SegcliError):
    """A metric of an evaluation is below the required value."""

    exit_code = ExitCode.GATE_NOT_MET


class AlertFired(SegcliError):
    """An alert rule of `stats` fired."""

    exit_code = ExitCode.ALERT_FIRED


class OutputError(SegcliError):
    """The output could not be written. Committed parts are complete, and the run can be resumed."""

    exit_code = ExitCode.OUTPUT


class WorkersLost(SegcliError):
    """A device failed, no worker process could be started, or memory ran out.

    Committed parts are complete.
    """

    exit_code = ExitCode.WORKERS_LOST


class Interrupted(SegcliError):
    """Ctrl-C or SIGTERM ended the run after the current batch was committed."""

    exit_code = ExitCode.INTERRUPTED

    def __init__(self, message: str, *, terminated: bool = False) -> None:
        super().__init__(message)
        if terminated:
            self.exit_code = ExitCode.TERMINATED


class ImageError(Exception):
    """One image cannot be read, decoded or segmented; its message becomes the row's `error`."""
