"""`segcli eval`: measure the masks against ground truth, and show what to improve."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from segcli.cli.options import Static, Wide, category_names, comma_list
from segcli.cli.output_checks import refuse_places
from segcli.errors import UsageError
from segcli.plurals import counted
from segcli.startup import uncollected

if TYPE_CHECKING:
    from segcli.evaluate import Params
    from segcli.evaluate.full_report import FullReport

Gt = Annotated[Path, typer.Option(metavar="ANN.json", help="The ground truth, a COCO JSON file.")]
Pred = Annotated[
    Path, typer.Option(metavar="DIR|FILE", help="The output of a run, or COCO results (.json).")
]
Iou = Annotated[
    Literal["segm", "bbox", "boundary", "keypoints"],
    typer.Option(help="Compare masks, boxes, the boundaries of masks, or keypoints (OKS)."),
]
Engine = Annotated[
    Literal["fast", "pycocotools"],
    typer.Option(help="The library that computes; both give the same numbers to the last bit."),
]
Protocol = Annotated[
    Literal["coco", "lvis"],
    typer.Option(help="The protocol; lvis is for categories that only some images annotate."),
]
PerClass = Annotated[bool, typer.Option("--per-class", help="Show every category.")]
Categories = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,NAME|all", help="Evaluate these categories; by default those of the model."
    ),
]
AreaRanges = Annotated[
    str | None,
    typer.Option(
        metavar="LABEL:FROM-TO,...",
        help="Area ranges in px; by default COCO's small, medium and large.",
    ),
]
MaxDets = Annotated[
    str | None,
    typer.Option(
        metavar="N,N,N",
        help="Count at most this many detections per image and category; by default 1,10,100, and "
        "20 for keypoints.",
    ),
]
Missing = Annotated[
    Literal["error", "ignore", "count"],
    typer.Option(help="What to do with ground-truth images that have no rows in the output."),
]
MergeCategories = Annotated[
    bool,
    typer.Option("--merge-categories", help="Merge categories of the same name in --gt."),
]
Strict = Annotated[
    bool,
    typer.Option("--strict", help="Refuse invalid parts of --gt even where no metric needs them."),
]
Rescale = Annotated[
    bool, typer.Option("--rescale", help="Stretch the masks of images that differ in size.")
]
Errors = Annotated[bool, typer.Option("--errors", help="Show what kinds of errors cost most.")]
Plots = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Write curves and the confusion matrix into this folder."),
]
MinScore = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="Ignore lower scores in --errors; by default below the model's default score.",
    ),
]
Json = Annotated[Path | None, typer.Option(metavar="FILE", help="Write all results as JSON.")]
Html = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write all results as one HTML page.")
]
FailUnder = Annotated[
    list[str] | None,
    typer.Option(
        metavar="AP=0.30", help="Exit with 5 if a metric is below this value; can be repeated."
    ),
]
Compare = Annotated[
    Path | None,
    typer.Option(metavar="OTHER", help="Compare with another run on the same ground truth."),
]
Resamples = Annotated[int, typer.Option(min=10, help="How often --compare resamples the images.")]


@uncollected()
def eval_(
    gt: Gt,
    pred: Pred = Path("masks.parquet"),
    iou: Iou = "segm",
    engine: Engine = "fast",
    protocol: Protocol = "coco",
    per_class: PerClass = False,
    categories: Categories = None,
    area_ranges: AreaRanges = None,
    max_dets: MaxDets = None,
    missing: Missing = "error",
    static: Static = "repeat",
    rescale: Rescale = False,
    merge_categories: MergeCategories = False,
    strict: Strict = False,
    errors: Errors = False,
    plots: Plots = None,
    min_score: MinScore = None,
    json: Json = None,
    html: Html = None,
    fail_under: FailUnder = None,
    compare: Compare = None,
    resamples: Resamples = 200,
    wide: Wide = False,
) -> None:
    """Compare masks with ground truth: COCO's metrics, equal to pycocotools bit for bit.

    All rows count, down to the lowest score that was kept. Exit codes: 0, 2 wrong usage or input,
    5 a --fail-under was not met, 7 a file could not be written.
    """
    from segcli.cli.eval_table import show
    from segcli.evaluate import Choices
    from segcli.evaluate.full_report import full_report
    from segcli.evaluate.json_report import gate

    refuse_places({"--json": json, "--html": html, "--plots": plots})
    conditions = _conditions(fail_under or [])
    names = category_names(categories)
    choices = Choices(iou, missing, rescale, names, strict, merge_categories, static)
    params = _params(iou, max_dets, area_ranges)
    # The JSON always has the worst images, because `segcli viz --worst` reads them from it.
    explain = True if errors or plots else None if json or html else False
    report = full_report(
        gt, pred, choices=choices, params=params, engine=engine, protocol=protocol, explain=explain,
        min_score=min_score)  # fmt: skip
    if compare:
        report = report.with_comparison(compare, choices=choices, resamples=resamples)
    show(report, errors=errors, per_class=per_class, wide=wide)
    _write(report, json, plots, html)
    gate(report.evaluation, conditions)


def _write(report: FullReport, json: Path | None, plots: Path | None, html: Path | None) -> None:
    pictures = report.write(json_file=json, plots=plots, html=html)
    if plots:
        typer.echo(f"{counted(pictures, 'picture')} in {plots}")
    if html:
        typer.echo(f"{html}")


def _params(iou: str, max_dets: str | None, area_ranges: str | None) -> Params:
    from segcli.evaluate import Params, usual

    known = usual(iou)
    most, ranges = known.max_dets, known.ranges
    if max_dets is not None:
        words = comma_list(max_dets, "--max-dets")
        if not all(word.isdecimal() and int(word) > 0 for word in words):
            raise UsageError(f"--max-dets {max_dets}: expected whole numbers such as 1,10,100")
        most = tuple(sorted({int(word) for word in words}))
    if area_ranges is not None:
        ranges = _ranges(area_ranges)
    return Params(most, ranges)


def _ranges(text: str) -> tuple[tuple[str, float, float], ...]:
    """Parse "tiny:0-256,rest:256-" (px; without a number after the dash: no upper limit)."""
    found = []
    for part in comma_list(text, "--area-ranges"):
        label, colon, limits = part.strip().partition(":")
        low, dash, high = limits.partition("-")
        try:
            bounds = float(low), float(high) if high else 1e10
        except ValueError:
            bounds = (1.0, 0.0)
        if not (label.isidentifier() and colon and dash and 0 <= bounds[0] < bounds[1]):
            raise UsageError(f"--area-ranges {part!r}: expected LABEL:FROM-TO, e.g. tiny:0-256")
        found.append((label, *bounds))
    if len({label for label, _, _ in found} | {"all"}) <= len(found):
        raise UsageError(f"--area-ranges {text!r}: expected different labels, and none named all")
    return tuple(found)


def _conditions(texts: list[str]) -> list[tuple[str, float]]:
    found = []
    for text in texts:
        name, _, limit = text.partition("=")
        try:
            found.append((name.strip(), _number(limit)))
        except ValueError:
            raise UsageError(f"--fail-under {text!r}: expected NAME=NUMBER, e.g. AP=0.30") from None
    return found


def _number(text: str) -> float:
    """Raises ValueError, also for nan, because no metric is below it."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError
    return number
