"""The command line: one file per command, which imports heavy modules inside its function."""

import errno
import gc
import os
import sys
import traceback
from contextlib import suppress
from itertools import pairwise
from typing import Any, NoReturn

import typer

from segcli.cli.commands import COMMANDS, application
from segcli.cli.streams import ended_by_pipe, open_missing, silence, surviving_pipe
from segcli.cli.wording import worded
from segcli.errors import ExitCode, SegcliError, UsageError

_MAY_BE_EMPTY = ("--key-prefix", "--title")


def __getattr__(name: str) -> Any:
    if name == "app":
        return application(COMMANDS)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def main() -> None:
    """Run the command in sys.argv and exit with its code. All errors are caught here.

    An error that a user can cause is printed as one line on stderr, with its exit code. An error in
    segcli itself is one line, too, with exit code 70. SEGCLI_DEBUG=1 shows the traceback of both.
    """
    # Imports create many permanent objects; searching them for cycles again and again takes an
    # eighth of the start-up time.
    gc.set_threshold(50_000, 20, 20)
    open_missing()
    asked = [name for name in sys.argv[1:2] if name in COMMANDS]
    goes_on = any(COMMANDS[name].goes_on for name in asked)
    try:
        _refuse_empty(sys.argv[1:])
        with surviving_pipe() if goes_on else ended_by_pipe():
            application(asked or COMMANDS)()
    except SystemExit as end:
        if sys.argv[1:2] == ["eval"] and not end.code:
            _leave()
        _flush()
        raise
    except SegcliError as error:
        _fail(worded(str(error)), error.exit_code)
    except KeyboardInterrupt:
        _fail("interrupted", ExitCode.INTERRUPTED)
    except MemoryError:
        text = "not enough memory; committed work is complete: free some, or let the command use "
        _fail(text + "less (see --help), then run it again", ExitCode.WORKERS_LOST)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            _fail(_internal(error), ExitCode.INTERNAL)
        _full(error)
    except Exception as error:  # the last resort: a traceback is not a message
        _fail(_internal(error), ExitCode.INTERNAL)


def _internal(error: Exception) -> str:
    message = f"internal error: {type(error).__name__}: {error}"
    return f"{message}; run again with SEGCLI_DEBUG=1 for the traceback"


def _full(error: OSError) -> NoReturn:
    """The disk of a redirected stdout is full; Python would report this again at exit."""
    silence()
    where = error.filename or "stdout"
    _fail(f"cannot write {where}: {error.strerror}; free some space", ExitCode.OUTPUT)


def _refuse_empty(words: list[str]) -> None:
    """An empty argument comes from an unset variable; as a path it would be the current folder."""
    for before, word in pairwise(["", *words]):
        option, equals, value = word.partition("=")
        if before in _MAY_BE_EMPTY or option in _MAY_BE_EMPTY:
            continue
        if word == "":
            place = f"after {before}" if before else "instead of a command"
            raise UsageError(f"an empty argument {place}; is a variable in your script not set?")
        if option.startswith("--") and equals and not value:
            raise UsageError(f"nothing after {word}; is a variable in your script not set?")


def _flush() -> None:
    """Flush stdout. If its reader has exited, this is not a failure of the command."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        silence()
    except OSError as error:
        _full(error)


def _leave() -> None:
    """Exit at once: freeing millions of annotations first would take a tenth of the time."""
    _flush()
    with suppress(OSError):
        sys.stderr.flush()
    os._exit(0)


def _fail(message: str, code: ExitCode) -> NoReturn:
    if os.environ.get("SEGCLI_DEBUG", "0") not in ("", "0"):
        traceback.print_exc()
    typer.echo(f"segcli: {message}", err=True)
    sys.exit(int(code))
