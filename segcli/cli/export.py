"""`segcli export`: masks in everyone's formats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from segcli.cli.output_checks import refuse_places

Masks = Annotated[Path, typer.Argument(metavar="DIR", help="The output of segcli predict.")]
To = Annotated[
    Literal["coco", "coco-results", "yolo", "labelme", "cvat", "png", "geojson"],
    typer.Option(help="coco, coco-results, cvat: one file; the others: a folder."),
]
Out = Annotated[Path, typer.Option(metavar="FILE|FOLDER", help="Where to.")]
MinScore = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Only masks this good; default: the model's default score."),
]
Categories = Annotated[str | None, typer.Option(metavar="NAME,NAME", help="Only these.")]
Key = Annotated[str | None, typer.Option(metavar="PATTERN", help="Only these images: 'cam1/*'.")]
Images = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Where the pictures lie, for labelme and yolo."),
]
Polygons = Annotated[
    bool, typer.Option("--polygons", help="coco: polygons instead of RLE (Label Studio).")
]
Png = Annotated[
    Literal["classes", "instances", "binary"],
    typer.Option(help="png: a map of categories, of numbered masks, or a file per mask."),
]


def export(
    masks: Masks,
    to: To,
    out: Out,
    min_score: MinScore = None,
    categories: Categories = None,
    key: Key = None,
    images: Images = None,
    polygons: Polygons = False,
    png: Png = "classes",
) -> None:
    """Write the masks of DIR as COCO, YOLO, LabelMe, CVAT, PNG or GeoJSON.

    What a format cannot hold is counted and said. Failed images are left out.
    """
    from segcli.export import FORMATS, select

    refuse_places({"--out": out})
    names = [n.strip() for n in categories.split(",") if n.strip()] if categories else None
    selection = select(masks, min_score=min_score, categories=names, key=key)
    tally = FORMATS[to](selection, out, polygons, png, images)
    typer.echo(
        f"{tally.images} images, {tally.masks} masks with scores from {selection.min_score:g} "
        f"-> {out}"
    )
    for sentence in tally.sentences():
        typer.echo(sentence, err=True)
