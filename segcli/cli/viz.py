"""`segcli viz`: masks drawn on their images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from segcli.cli.console import counted, end, say, silent

Masks = Annotated[Path, typer.Argument(metavar="DIR", help="The output of segcli predict.")]
Images = Annotated[
    str | None, typer.Option(metavar="SOURCE", help="The images; default: where the run had them.")
]
Out = Annotated[Path | None, typer.Option(metavar="FOLDER", help="A picture for every image.")]
Where = Annotated[
    str | None,
    typer.Option(metavar="SQL", help="Only these masks: \"category = 'car' and area > 900\"."),
]
Key = Annotated[str | None, typer.Option(metavar="PATTERN", help="Only these images: 'cam1/*'.")]
Categories = Annotated[str | None, typer.Option(metavar="NAME,NAME", help="Only these masks.")]
MinScore = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Only masks this good; default: the model's default score."),
]
Sample = Annotated[int | None, typer.Option(metavar="N", help="Only N images, drawn by lot.")]
Seed = Annotated[int, typer.Option(help="Of the lot: the same seed, the same images.")]
Worst = Annotated[
    Path | None, typer.Option(metavar="eval.json", help="The worst images of an evaluation.")
]
Gt = Annotated[
    Path | None,
    typer.Option(metavar="ann.json", help="Ground truth (COCO): right, wrong and missed."),
]
Beside = Annotated[
    bool, typer.Option("--beside", help="The ground truth beside the picture as well.")
]
Mode = Annotated[
    Literal["overlay", "outline", "cutout", "blur"],
    typer.Option(help="cutout: objects on transparency; blur: objects made unrecognisable."),
]
Sheet = Annotated[Path | None, typer.Option(metavar="FILE", help="A contact sheet.")]
Video = Annotated[
    Path | None,
    typer.Option(metavar="FILE|FOLDER", help="Frames of videos as video again (.mp4)."),
]
Format = Annotated[
    Literal["jpg", "png", "webp"] | None, typer.Option(help="Default: jpg; png for cutouts.")
]
MaxSide = Annotated[int | None, typer.Option(help="Pictures are at most this many px long.")]
Alpha = Annotated[float, typer.Option(min=0, max=1, help="How much a mask covers.")]
Boxes = Annotated[bool, typer.Option(help="Draw boxes.")]
Labels = Annotated[bool, typer.Option(help="Write class and score.")]
Workers = Annotated[int | None, typer.Option(help="Threads; default: the cores.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Errors only.")]


def viz(
    masks: Masks,
    images: Images = None,
    out: Out = None,
    where: Where = None,
    key: Key = None,
    categories: Categories = None,
    min_score: MinScore = None,
    sample: Sample = None,
    seed: Seed = 0,
    worst: Worst = None,
    gt: Gt = None,
    beside: Beside = False,
    mode: Mode = "overlay",
    sheet: Sheet = None,
    video: Video = None,
    format: Format = None,
    max_side: MaxSide = None,
    alpha: Alpha = 0.45,
    boxes: Boxes = True,
    labels: Labels = True,
    workers: Workers = None,
    quiet: Quiet = False,
) -> None:
    """Draw the masks in DIR on their images.

    An image that is missing, damaged or of another size than its row says is named and skipped.
    Exit codes: 0 all drawn, 1 some images were skipped, 2 wrong usage, 7 cannot write.
    """
    given = dict(locals())
    from segcli.viz import Style, VizOptions, visualise

    style = {name: given.pop(name) for name in ("mode", "alpha", "boxes", "labels", "max_side")}
    given["categories"] = tuple(n.strip() for n in (categories or "").split(",") if n.strip())
    report = silent if given.pop("quiet") else say
    drawn = visualise(VizOptions(**given, style=Style(**style)), report=report)
    report(
        f"{counted(drawn.pictures, 'picture')} with {counted(drawn.masks, 'mask')}"
        + (f", {counted(len(drawn.skipped), 'image')} skipped" if drawn.skipped else "")
    )
    end(len(drawn.skipped), quiet=quiet)
