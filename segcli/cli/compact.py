"""`segcli compact`: many small parts become few."""

from __future__ import annotations

from typing import Annotated

import typer

from segcli.cli.options import Masks, Wait
from segcli.errors import UsageError

Images = Annotated[
    int, typer.Option(help="About how many images a part gets; larger parts stay as they are.")
]


def compact(masks: Masks, images: Images = 10_000, wait: Wait = False) -> None:
    """Merge the small parts that many runs have left; the rows stay the same.

    All at once: readers see the old parts or the new ones, and it can be killed at any moment.
    Needs a file system that can exchange two folders (most can, NFS cannot), and room for the
    new parts beside the old ones.
    """
    from segcli.store import compact as merge

    if images < 1:
        raise UsageError(f"--images {images}: expected a whole number of at least 1")
    done = merge(masks, images=images, wait=wait)
    typer.echo(f"{done.before} parts -> {done.after}, {done.images} images: {masks}")
