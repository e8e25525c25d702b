"""`segcli export`: write masks in the formats of other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from segcli.cli.options import (
    Categories,
    Key,
    Masks,
    MinScore,
    Static,
    WhereImage,
    Zones,
    category_names,
)
from segcli.cli.output_checks import refuse_places
from segcli.cli.wording import worded
from segcli.errors import UsageError
from segcli.plurals import counted

To = Annotated[
    Literal["coco", "coco-results", "yolo", "labelme", "cvat", "png", "geojson", "mot", "mots"],
    typer.Option(help="The format: coco, coco-results and cvat are one file, the others a folder."),
]
Out = Annotated[Path, typer.Option(metavar="FILE|FOLDER", help="The file or folder to write.")]
Images = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Where the images are, for yolo and labelme; by default where the run found them.",
    ),
]
CopyImages = Annotated[
    bool,
    typer.Option(
        "--copy-images", help="Copy the images to where readers of yolo and labelme expect them."
    ),
]
LinkImages = Annotated[
    bool, typer.Option("--link-images", help="The same with symbolic links instead of copies.")
]
Polygons = Annotated[
    bool,
    typer.Option("--polygons", help="Write polygons instead of RLE, for Label Studio (coco only)."),
]
Png = Annotated[
    Literal["classes", "instances", "binary"],
    typer.Option(help="Write a map of categories, a map of instances, or a file for each mask."),
]
Iou = Annotated[
    Literal["segm", "bbox", "keypoints"] | None,
    typer.Option(help="What coco-results are compared by; by default segm."),
]


def export(
    masks: Masks,
    to: To,
    out: Out,
    min_score: MinScore = None,
    categories: Categories = None,
    key: Key = None,
    where_image: WhereImage = None,
    static: Static = "repeat",
    images: Images = None,
    copy_images: CopyImages = False,
    link_images: LinkImages = False,
    polygons: Polygons = False,
    png: Png = "classes",
    iou: Iou = None,
    zones: Zones = None,
) -> None:
    """Write the masks of DIR as COCO, YOLO, LabelMe, CVAT, PNG, GeoJSON or MOT.

    What a format cannot represent is counted and reported. Failed images are left out.
    """
    from segcli.export import FORMATS, WITH_IMAGES, Choices, place_images, select
    from segcli.zones import zones_of_output

    refuse_places({"--out": out})
    if copy_images and link_images:
        raise UsageError("--copy-images and --link-images exclude each other; give one")
    if (copy_images or link_images) and to not in WITH_IMAGES:
        raise UsageError(
            f"--to {to} takes no images: --copy-images and --link-images are for "
            f"{' and '.join(WITH_IMAGES)}"
        )
    if iou is not None and to != "coco-results":
        raise UsageError(f"--iou is for --to coco-results, not for --to {to}")
    names = category_names(categories)
    standing = None if zones is None else zones_of_output(masks, zones)
    selection = select(
        masks, min_score=min_score, categories=names, key=key, where_image=where_image,
        static=static, placed=None if standing is None else standing.image,
    )  # fmt: skip
    place = None
    if copy_images or link_images:
        place = place_images(masks, None if images is None else str(images), link=link_images)
    tally = FORMATS[to](selection, out, Choices(polygons, png, images, place, iou or "segm"))
    typer.echo(
        f"{counted(tally.images, 'image')}, {counted(tally.masks, 'mask')} with scores from "
        f"{selection.min_score} -> {out}"
    )
    for sentence in tally.sentences():
        typer.echo(worded(sentence), err=True)
