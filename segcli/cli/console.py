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


def end(skipped: int, *, quiet: bool) -> None:
    """Exit code 1 when images were skipped, and a word about it where nothing else was said."""
    if not skipped:
        return
    if quiet:
        say(f"{counted(skipped, 'image')} skipped; without --quiet each is named")
    raise typer.Exit(ExitCode.SOME_FAILED)
