"""Messages of `viz` and `report` about their pictures, and their exit code if some are skipped."""

from __future__ import annotations

import typer

from segcli.cli.wording import worded
from segcli.errors import ExitCode
from segcli.plurals import counted


def say(sentence: str) -> None:
    """Print a line of the library on stderr, in the words of the command line."""
    typer.echo(worded(sentence), err=True)


def silent(sentence: str) -> None:
    """`say` with --quiet."""


def skipped_text(skipped: int, missing: int) -> str:
    """How many images were skipped; `missing` of them because their file no longer exists."""
    if not missing:
        return f"{counted(skipped, 'image')} skipped"
    files = "file" if missing == 1 else "files"
    gone = f"{counted(missing, 'image')} skipped because of missing {files}"
    rest = skipped - missing
    return f"{gone}, {rest:,} for other reasons" if rest else gone


def end(pictures: int, skipped: int, missing: int, *, quiet: bool) -> None:
    """Exit with code 1 if images were skipped; with `quiet`, say how many.

    Missing files are normal in an archive whose old files are deleted, so missing files alone do
    not give exit code 1, unless there is no picture at all.
    """
    if skipped and quiet:
        say(f"{skipped_text(skipped, missing)}; without --quiet, each one is named")
    if missing and not pictures and not quiet:
        say("no image was found; --images SOURCE states where they are")
    if skipped > missing or (missing and not pictures):
        raise typer.Exit(ExitCode.SOME_FAILED)
