"""`segcli compact`: merge many small parts into few."""

from __future__ import annotations

from typing import Annotated

import typer

from segcli.cli.options import Masks, Quiet, Wait
from segcli.errors import UsageError
from segcli.plurals import counted

Images = Annotated[
    int, typer.Option(help="About how many images a part gets; larger parts are kept unchanged.")
]


def compact(
    masks: Masks, images: Images = 10_000, wait: Wait = False, quiet: Quiet = False
) -> None:
    """Merge the small parts of many runs; the rows stay the same.

    Old and new parts are exchanged in one step: readers see one or the other, and the command can
    be killed at any time. It needs a file system that can exchange two folders (most can, NFS
    cannot), and disk space for the new parts in addition to the old ones. In a bucket, parts are
    exchanged one by one.
    """
    from segcli.store import compact as merge

    if images < 1:
        raise UsageError(f"--images {images}: expected a whole number of at least 1")
    done = merge(masks, images=images, wait=wait)
    if not quiet:
        parts, pictures = counted(done.before, "part"), counted(done.images, "image")
        typer.echo(f"{parts} -> {done.after:,}, {pictures}: {masks}")
