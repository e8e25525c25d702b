"""`segcli report`: one HTML file to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segcli.cli.console import counted, end, say, silent
from segcli.cli.output_checks import refuse_places

Masks = Annotated[Path, typer.Argument(metavar="DIR", help="The output of segcli predict.")]
Out = Annotated[Path, typer.Option(metavar="FILE", help="The page, with everything inside.")]
Images = Annotated[
    str | None, typer.Option(metavar="SOURCE", help="The images; default: where the run had them.")
]
Gallery = Annotated[int, typer.Option(metavar="N", help="Pictures at most; 0 for none.")]
MinScore = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Only masks this good; default: the model's default score."),
]
Where = Annotated[str | None, typer.Option(metavar="SQL", help='Only these masks: "area > 900".')]
Seed = Annotated[int, typer.Option(help="Of the lot that draws the pictures.")]
Evaluation = Annotated[
    Path | None, typer.Option("--eval", metavar="eval.json", help="From segcli eval --json.")
]
TimePattern = Annotated[
    str | None, typer.Option(help="Time and camera in the key: 'cam%(camera)_%Y%m%d-%H%M%S'.")
]
TimeColumn = Annotated[
    str | None, typer.Option(metavar="NAME", help="A column with the time of the image.")
]
Title = Annotated[str | None, typer.Option(help="Default: the name of DIR.")]
Workers = Annotated[int | None, typer.Option(help="Threads; default: the cores.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Errors only.")]


def report(
    masks: Masks,
    out: Out = Path("report.html"),
    images: Images = None,
    gallery: Gallery = 200,
    min_score: MinScore = None,
    where: Where = None,
    seed: Seed = 0,
    evaluation: Evaluation = None,
    time_pattern: TimePattern = None,
    time_column: TimeColumn = None,
    title: Title = None,
    workers: Workers = None,
    quiet: Quiet = False,
) -> None:
    """Write a page about DIR that opens from disk, without a server or a network.

    Exit codes: 0, 1 some pictures were skipped (named), 2 wrong usage, 7 cannot write.
    """
    given = dict(locals())
    from segcli.report import ReportOptions, write_report

    refuse_places({"--out": out})
    report_to = silent if given.pop("quiet") else say
    written = write_report(ReportOptions(**given), report=report_to)
    report_to(
        f"{out}: {counted(written.cards, 'picture')}, {written.size / 1e6:.1f} MB"
        + (f"; {counted(len(written.skipped), 'image')} skipped" if written.skipped else "")
    )
    end(len(written.skipped), quiet=quiet)
