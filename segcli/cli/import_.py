"""`segcli import`: convert annotations of other tools to an output."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from segcli.cli.wording import worded
from segcli.plurals import counted

Path_ = Annotated[
    Path,
    typer.Argument(metavar="PATH", help="A COCO JSON file, or a folder of YOLO or LabelMe labels."),
]
From = Annotated[
    Literal["coco", "yolo", "labelme"] | None,
    typer.Option("--from", help="The format of PATH; by default recognised from its files."),
]
Out = Annotated[Path, typer.Option(help="The new output, a folder of parts; name it *.parquet.")]
Images = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Where the images are; YOLO needs their sizes."),
]
Merge = Annotated[
    bool, typer.Option("--merge-categories", help="Merge categories of the same name (COCO).")
]


def import_(
    path: Path_,
    out: Out,
    kind: From = None,
    images: Images = None,
    merge_categories: Merge = False,
) -> None:
    """Convert annotations to an output, so that viz, stats and export work on ground truth.

    Masks keep the scores of the file, or get the score 1. What an output cannot represent is left
    out and counted: crowd regions, objects without a mask, points and lines.
    """
    from segcli.export.import_annotations import import_annotations

    done = import_annotations(kind, path, out, images=images, merge_categories=merge_categories)
    scores = "with the scores of the file" if done.scored else "each with the score 1"
    held = f"{counted(done.images, 'image')}, {counted(done.masks, 'mask')}"
    typer.echo(f"{held} {scores}, from {done.kind} -> {out}")
    for sentence in done.notes:
        typer.echo(worded(sentence), err=True)
