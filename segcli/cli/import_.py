"""`segcli import`: annotations of other tools as an output."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Path_ = Annotated[
    Path, typer.Argument(metavar="PATH", help="COCO json, or a folder of YOLO or LabelMe labels.")
]
From = Annotated[
    Literal["coco", "yolo", "labelme"], typer.Option("--from", help="The format of PATH.")
]
Out = Annotated[Path, typer.Option(help="The new output, a folder of parts; name it *.parquet.")]
Images = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Where the images are; YOLO needs their sizes."),
]


def import_(path: Path_, kind: From, out: Out, images: Images = None) -> None:
    """Make an output of annotations, so that viz, stats and export work on ground truth.

    Every mask gets the score 1. Regions of crowds are left out and counted.
    """
    from segcli.export.import_annotations import import_annotations

    pictures, masks, skipped = import_annotations(kind, path, out, images=images)
    typer.echo(f"{pictures} images, {masks} masks -> {out}")
    for what, count in skipped.items():
        typer.echo(f"{count} {what} regions were left out", err=True)
