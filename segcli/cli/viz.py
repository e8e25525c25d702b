"""`segcli viz`: draw masks on their images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from segcli.cli.console import end, say, silent, skipped_text
from segcli.cli.options import (
    Categories,
    Images,
    Key,
    Masks,
    MinScore,
    Quiet,
    Static,
    Threads,
    Where,
    WhereImage,
    Zones,
    category_names,
)
from segcli.plurals import counted

Out = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Write a picture of every image into this folder."),
]
Sample = Annotated[
    int | None, typer.Option(metavar="N", help="Draw only N images, chosen at random.")
]
Seed = Annotated[int, typer.Option(help="The seed of --sample.")]
Worst = Annotated[
    Path | None, typer.Option(metavar="eval.json", help="Draw the worst images of this evaluation.")
]
Gt = Annotated[
    Path | None,
    typer.Option(
        metavar="ann.json",
        help="Mark correct, false and missed objects against this COCO ground truth.",
    ),
]
Beside = Annotated[
    bool, typer.Option("--beside", help="Show the ground truth next to each picture.")
]
Mode = Annotated[
    Literal["overlay", "outline", "cutout", "blur"],
    typer.Option(help="How to draw masks; cutout puts objects on transparency, blur hides them."),
]
Sheet = Annotated[Path | None, typer.Option(metavar="FILE", help="Write a contact sheet.")]
Video = Annotated[
    Path | None,
    typer.Option(metavar="FILE|FOLDER", help="Write the frames of videos as videos (.mp4)."),
]
Format = Annotated[
    Literal["jpg", "png", "webp"] | None,
    typer.Option(help="The format of the pictures; by default jpg, and png for cutouts."),
]
MaxSide = Annotated[
    int | None, typer.Option(help="Shrink pictures to this many pixels on the long side.")
]
Alpha = Annotated[float, typer.Option(min=0, max=1, help="The opacity of the masks.")]
Boxes = Annotated[bool, typer.Option(help="Draw boxes.")]
Labels = Annotated[bool, typer.Option(help="Write category and score next to each object.")]


def viz(
    masks: Masks,
    images: Images = None,
    out: Out = None,
    where: Where = None,
    key: Key = None,
    where_image: WhereImage = None,
    static: Static = "repeat",
    categories: Categories = None,
    min_score: MinScore = None,
    sample: Sample = None,
    seed: Seed = 0,
    worst: Worst = None,
    gt: Gt = None,
    zones: Zones = None,
    beside: Beside = False,
    mode: Mode = "overlay",
    sheet: Sheet = None,
    video: Video = None,
    format: Format = None,
    max_side: MaxSide = None,
    alpha: Alpha = 0.45,
    boxes: Boxes = True,
    labels: Labels = True,
    workers: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Draw the masks in DIR on their images.

    An image that is missing, damaged or of another size than in its row is reported and skipped.
    Exit codes: 0 all drawn except missing files, 1 some images were skipped for other reasons, or
    none could be drawn, 2 wrong usage, 7 cannot write.
    """
    from segcli.viz import Style, VizOptions, visualise

    report = silent if quiet else say
    options = VizOptions(
        masks=masks, images=images, out=out, where=where, key=key, where_image=where_image, gt=gt,
        static=static, zones=zones,
        min_score=min_score, categories=category_names(categories) or (), sample=sample, seed=seed,
        worst=worst, beside=beside, format=format, sheet=sheet, video=video, workers=workers,
        style=Style(mode, alpha, boxes, labels, max_side),
    )  # fmt: skip
    drawn = visualise(options, report=report)
    report(
        f"{counted(drawn.pictures, 'picture')} with {counted(drawn.masks, 'mask')}"
        + (f", {skipped_text(len(drawn.skipped), drawn.missing)}" if drawn.skipped else "")
    )
    end(drawn.pictures, len(drawn.skipped), drawn.missing, quiet=quiet)
