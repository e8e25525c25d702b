"""The tree of errors a user can cause, each with the exit code that tells cron the truth.

    SegcliError
    ├── UsageError     2  an argument, an input or a file is not what the command needs
    ├── NothingDone    3  the run ended and not one image could be done
    ├── Locked         4  another process works on this output
    ├── GateNotMet     5  an evaluation stayed below --fail-under
    ├── AlertFired     6  a statistics rule fired
    ├── OutputError    7  the output could not be written (disk full, read-only); resumable
    ├── WorkersLost    8  a device has failed, no worker can be started, memory ran out; resumable
    └── Interrupted  130  Ctrl-C (143: SIGTERM); what was done is committed; resumable

Three codes have no error here: 0 all done (also: nothing new to do), 1 done, but images failed in
this run, 70 a mistake of segcli itself. `ImageError` is not a SegcliError: it makes one failed row
and never ends a run.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a segcli process returns; the one table that README and tests are checked against."""

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
    """Something the user can cause and mend. The message says: given, expected, what to do next."""

    exit_code: ExitCode = ExitCode.USAGE


class UsageError(SegcliError):
    """An argument, an input or a file is not what the command needs."""


class NothingDone(SegcliError):
    """The run ended and not one image could be done."""

    exit_code = ExitCode.NOTHING_DONE


class Locked(SegcliError):
    """Another process holds the output."""

    exit_code = ExitCode.LOCKED


class GateNotMet(SegcliError):
    """An evaluation stayed below the value asked for."""

    exit_code = ExitCode.GATE_NOT_MET


class AlertFired(SegcliError):
    """A statistics rule fired."""

    exit_code = ExitCode.ALERT_FIRED


class OutputError(SegcliError):
    """The output could not be written; what is committed is whole, and the run can be resumed."""

    exit_code = ExitCode.OUTPUT


class WorkersLost(SegcliError):
    """A device has failed, no worker process can be started, or memory ran out.

    What is committed is whole.
    """

    exit_code = ExitCode.WORKERS_LOST


class Interrupted(SegcliError):
    """Ctrl-C or SIGTERM ended the run after the batch in hand was committed."""

    exit_code = ExitCode.INTERRUPTED

    def __init__(self, message: str, *, terminated: bool = False) -> None:
        super().__init__(message)
        if terminated:
            self.exit_code = ExitCode.TERMINATED


class ImageError(Exception):
    """One image cannot be read, decoded or segmented; its message becomes the row's `error`."""
