"""`segcli compact`: many small parts become few."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segcli.errors import UsageError

Out = Annotated[Path, typer.Argument(metavar="MASKS", help="The folder of parts.")]
Images = Annotated[int, typer.Option(help="In a part, about; larger parts stay as they are.")]
Wait = Annotated[
    bool, typer.Option("--wait", help="Wait while another process works on the output.")
]


def compact(out: Out, images: Images = 10_000, wait: Wait = False) -> None:
    """Merge the small parts that many runs have left; the rows stay the same.

    All at once: readers see the old parts or the new ones, and it can be killed at any moment.
    Needs a file system that can exchange two folders (most can, NFS cannot), and room for the
    new parts beside the old ones.
    """
    from segcli.store import compact as merge

    if images < 1:
        raise UsageError(f"--images {images}: expected a whole number of at least 1")
    done = merge(out, images=images, wait=wait)
    typer.echo(f"{done.before} parts -> {done.after}, {done.images} images: {out}")
