"""What `viz` and `report` say of their pictures, and how they end when some were skipped."""

from __future__ import annotations

import typer

from segcli.errors import ExitCode


def say(sentence: str) -> None:
    """A line beside the result."""
    typer.echo(sentence, err=True)


def silent(sentence: str) -> None:
    """`say` with --quiet."""


def counted(number: int, name: str) -> str:
    """1 image, 2,000 images."""
    return f"{number:,} {name}" + ("" if number == 1 else "s")


def skipped_text(skipped: int, missing: int) -> str:
    """How many images have no picture; `missing` of them have no file any more."""
    if not missing:
        return f"{counted(skipped, 'image')} skipped"
    files = "file" if missing == 1 else "files"
    gone = f"{counted(missing, 'image')} skipped because of missing {files}"
    rest = skipped - missing
    return f"{gone}, {rest:,} for other reasons" if rest else gone


def end(pictures: int, skipped: int, missing: int, *, quiet: bool) -> None:
    """Exit code 1 when images were skipped, and a word about it where nothing else was said.

    That files are missing is normal in an archive whose old files are deleted: alone it gives no
    exit code 1, unless there is not one picture.
    """
    if skipped and quiet:
        say(f"{skipped_text(skipped, missing)}; without --quiet each is named")
    if missing and not pictures and not quiet:
        say("no image was found; --images SOURCE states where they are")
    if skipped > missing or (missing and not pictures):
        raise typer.Exit(ExitCode.SOME_FAILED)
