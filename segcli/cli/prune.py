"""`segcli prune`: remove the rows of old images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segcli.cli.options import Quiet, TimeColumn, TimePattern, Wait
from segcli.cli.quantities import seconds
from segcli.plurals import counted

Out = Annotated[Path, typer.Argument(metavar="OUT", help="The output of segcli predict.")]
OlderThan = Annotated[
    str,
    typer.Option(
        "--older-than", metavar="AGE", help="Remove images taken longer ago than this, e.g. 90d."
    ),
]
KeepCounts = Annotated[
    bool,
    typer.Option(
        "--keep-counts",
        help="Keep their counts per day, camera and category, for segcli stats --pruned.",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Count what would be removed, and write nothing.")
]


def prune(
    out: Out,
    older_than: OlderThan,
    keep_counts: KeepCounts = False,
    time_pattern: TimePattern = None,
    time_column: TimeColumn = None,
    dry_run: DryRun = False,
    wait: Wait = False,
    quiet: Quiet = False,
) -> None:
    """Remove the rows of old images from OUT; later runs do not process these images again.

    The time of an image is the one that segcli stats uses, or when it was processed if it has none.
    The keys of removed images stay in the folder OUT.pruned, in 16 bytes each. A file that changes
    later is processed as a new image. The command can be killed at any time, and the next command
    that writes to OUT finishes its work. Exit codes: 0, 2 wrong usage, 4 another process uses OUT,
    7 OUT could not be written.
    """
    from segcli.cloud.urls import shown
    from segcli.retention import PruneOptions
    from segcli.retention import prune as remove

    age = seconds(older_than)
    assert age is not None, "it is required"
    done = remove(
        PruneOptions(
            out=out,
            older_than=age,
            keep_counts=keep_counts,
            time_pattern=time_pattern,
            time_column=time_column,
            dry_run=dry_run,
            wait=wait,
        )  # fmt: skip
    )
    if quiet:
        return
    verb = "would remove" if dry_run else "removed"
    typer.echo(
        f"{verb} the rows of {counted(done.images, 'image')} from before "
        f"{done.before:%Y-%m-%d %H:%M} UTC ({done.failed:,} failed, {counted(done.masks, 'mask')}) "
        f"in {counted(done.parts, 'part')}; {counted(done.left, 'image')} left: {shown(out)}"
    )
    if done.images and not dry_run:
        typer.echo(f"runs skip these images, whose keys are in {shown(done.keys)}")
