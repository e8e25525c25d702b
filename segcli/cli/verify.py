"""`segcli verify`: check every part of an output, and move broken ones aside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segcli.cli.options import Json, Wait
from segcli.errors import ExitCode
from segcli.plurals import counted

if TYPE_CHECKING:
    from segcli.store.part_check import Problem
    from segcli.store.verification import Verified

Out = Annotated[Path, typer.Argument(metavar="OUT", help="The output of segcli predict.")]
Repair = Annotated[
    bool,
    typer.Option(
        "--repair", help="Move broken parts to OUT.broken; the next run does their images again."
    ),
]


def verify(out: Out, repair: Repair = False, as_json: Json = False, wait: Wait = False) -> None:
    """Check that every part of OUT is readable and consistent.

    All rows are decoded. All parts must have the same settings, footers must state the number of
    rows, run lengths must fill the image, and no image may be in two parts. Without --repair, the
    command takes no lock and writes nothing. Exit codes: 0 OUT is intact (with --repair: now), 2
    something is wrong with it, 4 another process holds it (--repair only).
    """
    from dataclasses import asdict

    from segcli.store.verification import verify as check

    found = check(out, repair=repair, wait=wait)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
    else:
        for line in _lines(found):
            typer.echo(line)
    if not found.is_intact:
        raise typer.Exit(ExitCode.USAGE)


def _lines(found: Verified) -> Iterator[str]:
    yield (
        f"{counted(found.parts, 'part')}, {counted(found.images, 'image')} ({found.failed:,} "
        f"failed), {counted(found.masks, 'mask')} read: {found.out}"
    )
    if found.removed:
        removed = counted(found.removed, "part")
        yield f"{removed} replaced by another process before it was read; verify it again"
    for problem in found.problems:
        yield _line(problem)
    if found.moved:
        yield f"{counted(len(found.moved), 'broken part')} moved to {found.moved_to}"
        yield "`segcli predict` with the same arguments processes their images again"
    if not found.problems:
        yield "settings, rows, counts, run lengths and keys are in order"


def _line(problem: Problem) -> str:
    """The part and the key, unless the sentence names the part itself."""
    part = problem.part if problem.part and problem.part not in problem.problem else None
    return ": ".join(text for text in (part, problem.key, problem.problem) if text)
