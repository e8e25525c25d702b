"""`segcli report`: write one HTML page about an output."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segcli.cli.console import end, say, silent, skipped_text
from segcli.cli.options import (
    Images,
    Key,
    Masks,
    MinScore,
    Quiet,
    Static,
    Threads,
    TimeColumn,
    TimePattern,
    Where,
    WhereImage,
    Zones,
)
from segcli.cli.output_checks import refuse_places
from segcli.plurals import counted

Out = Annotated[Path, typer.Option(metavar="FILE", help="The page to write.")]
Gallery = Annotated[int, typer.Option(metavar="N", help="Show at most this many pictures.")]
Seed = Annotated[int, typer.Option(help="The seed of the random choice of pictures.")]
Evaluation = Annotated[
    Path | None,
    typer.Option(
        "--eval", metavar="eval.json", help="Include this evaluation, from segcli eval --json."
    ),
]
Title = Annotated[
    str | None, typer.Option(help="The title of the page; by default the name of DIR.")
]


def report(
    masks: Masks,
    out: Out = Path("report.html"),
    images: Images = None,
    gallery: Gallery = 200,
    min_score: MinScore = None,
    where: Where = None,
    key: Key = None,
    where_image: WhereImage = None,
    static: Static = "repeat",
    seed: Seed = 0,
    evaluation: Evaluation = None,
    time_pattern: TimePattern = None,
    time_column: TimeColumn = None,
    zones: Zones = None,
    title: Title = None,
    workers: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Write a page about DIR that opens from disk, without a server or a network.

    Exit codes: 0 done, even if files of images are missing; 1 some pictures were skipped for other
    reasons (each is named), or there is none; 2 wrong usage; 7 cannot write.
    """
    from segcli.report import ReportOptions, write_report

    refuse_places({"--out": out})
    report_to = silent if quiet else say
    options = ReportOptions(
        masks=masks, out=out, images=images, gallery=gallery, min_score=min_score, where=where,
        key=key, where_image=where_image, static=static, seed=seed, evaluation=evaluation,
        time_pattern=time_pattern, time_column=time_column, zones=zones, title=title,
        workers=workers,
    )  # fmt: skip
    written = write_report(options, report=report_to)
    report_to(
        f"{out}: {counted(written.cards, 'picture')}, {written.size / 1e6:.1f} MB"
        + (f"; {skipped_text(len(written.skipped), written.missing)}" if written.skipped else "")
    )
    end(written.cards, len(written.skipped), written.missing, quiet=quiet)
