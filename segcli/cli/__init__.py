"""The command line: one file per command, each with its heavy imports inside the command body."""

import errno
import gc
import os
import signal
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from importlib import import_module
from itertools import pairwise
from types import MappingProxyType
from typing import Any, NoReturn

import typer

from segcli.errors import ExitCode, SegcliError, UsageError

INTERNAL = 70  # EX_SOFTWARE of sysexits.h: our own mistake, no user's

# Who only prints ends as others do whose reader has gone (`| head`): by the signal. Otherwise rich
# and Typer say 1, which is the code of failed images.
_PRINTERS = frozenset({"stats", "eval", "models", "doctor"})

_COMMANDS = MappingProxyType(
    {
        "predict": "predict",
        "viz": "viz",
        "stats": "stats",
        "report": "report",
        "train": "train",
        "eval": "eval_",
        "export": "export",
        "import": "import_",
        "manifest": "manifest",
        "compact": "compact",
        "models": "models",
        "doctor": "doctor",
        "weights": "app",  # a group of its own
    }
)
"""Each command, in the order of the help, and how it is called in its file."""
_MAY_BE_EMPTY = ("--key-prefix", "--title")
_FILES = MappingProxyType({"import": "import_"})  # a word of Python's


def application(names: Iterable[str]) -> typer.Typer:
    """The commands of these names; reading the files of all takes half as long as a start may."""
    made = typer.Typer(
        name="segcli",
        help="Batch instance segmentation of large image archives: folders in, masks in Parquet "
        "out.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # plain help: rich alone would take a third of the time it may take
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    made.callback()(_main)
    for name in names:
        command = getattr(import_module(f"segcli.cli.{_FILES.get(name, name)}"), _COMMANDS[name])
        if isinstance(command, typer.Typer):
            made.add_typer(command, name=name)
        else:
            made.command(name)(command)
    return made


def __getattr__(name: str) -> Any:
    if name == "app":
        return application(_COMMANDS)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"segcli {version('segcli')}")
        raise typer.Exit


def _main(
    version: bool = typer.Option(
        False,
        "--version",
        help="Print the version and exit.",
        callback=_print_version,
        is_eager=True,
    ),
) -> None:
    pass


def main() -> None:
    """Run the command of sys.argv and exit with its code: the one place that catches errors.

    What a user can cause is one line on stderr and its exit code; our own mistakes are one line
    too, exit 70, and SEGCLI_DEBUG=1 shows the traceback of either.
    """
    # Imports make many objects that stay; to search them for cycles time and again takes an eighth
    # of the start.
    gc.set_threshold(50_000, 20, 20)
    _open_missing_streams()
    asked = [name for name in sys.argv[1:2] if name in _COMMANDS]
    try:
        _refuse_empty(sys.argv[1:])
        with _ended_by_pipe() if _PRINTERS.intersection(asked) else nullcontext():
            application(asked or _COMMANDS)()
    except SystemExit as end:
        if sys.argv[1:2] == ["eval"] and not end.code:
            _leave()
        _flush()
        raise
    except SegcliError as error:
        _fail(str(error), int(error.exit_code))
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except MemoryError:
        told = "not enough memory; what is committed is whole: free some, or let the command take "
        _fail(told + "less (--help), then run it again", int(ExitCode.WORKERS_LOST))
    except BrokenPipeError:
        _silence()
        sys.exit(1)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            _fail(_internal(error), INTERNAL)
        _full(error)
    except Exception as error:  # the last resort: a traceback is not a message
        _fail(_internal(error), INTERNAL)


@contextmanager
def _ended_by_pipe() -> Iterator[None]:
    before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        yield
    finally:  # who calls `main` in a process of their own may have sockets
        signal.signal(signal.SIGPIPE, before)


def _internal(error: Exception) -> str:
    message = f"internal error: {type(error).__name__}: {error}"
    return f"{message}; run again with SEGCLI_DEBUG=1 for the traceback"


def _full(error: OSError) -> NoReturn:
    """The disk below a redirected stdout is full; Python would say so again at its end."""
    _silence()
    where = error.filename or "stdout"
    _fail(f"cannot write {where}: {error.strerror}; free some space", int(ExitCode.OUTPUT))


def _refuse_empty(words: list[str]) -> None:
    """An empty word is a variable that is not set; as a path it would be the current folder."""
    for before, word in pairwise(["", *words]):
        option, equals, value = word.partition("=")
        if before in _MAY_BE_EMPTY or option in _MAY_BE_EMPTY:
            continue
        if word == "":
            place = f"after {before}" if before else "instead of a command"
            raise UsageError(f"an empty word {place}; is a variable of your script not set?")
        if option.startswith("--") and equals and not value:
            raise UsageError(f"nothing after {word}; is a variable of your script not set?")


def _open_missing_streams() -> None:
    """Some daemons start a command without stdin, stdout or stderr: then the next file that is
    opened, a lock or a part, would have the number of one, and get what is printed to it."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)  # takes the lowest number, which is the stream's
            os.set_inheritable(null, True)
            setattr(sys, name, os.fdopen(null, mode))


def _flush() -> None:
    """What is still buffered may have no reader any more; that is no failure of the command."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _silence()
    except OSError as error:
        _full(error)


def _silence() -> None:
    """The reader of our stdout has gone; Python would complain once more while it shuts down."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _leave() -> None:
    """End at once: to take millions of annotations apart first would take a tenth of the time."""
    _flush()
    with suppress(OSError):
        sys.stderr.flush()
    os._exit(0)


def _fail(message: str, code: int) -> NoReturn:
    if os.environ.get("SEGCLI_DEBUG", "0") not in ("", "0"):
        traceback.print_exc()
    typer.echo(f"segcli: {message}", err=True)
    sys.exit(code)
