"""Options shared by several commands, each declared once, and the parsing of lists."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal, TypedDict

import typer

from segcli.errors import UsageError

Masks = Annotated[Path, typer.Argument(metavar="DIR", help="The output of segcli predict.")]
Images = Annotated[
    str | None,
    typer.Option(
        metavar="SOURCE", help="Where the images are; by default where the run read them."
    ),
]
MinScore = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="Use only masks with at least this score; by default the model's default score.",
    ),
]
Where = Annotated[
    str | None,
    typer.Option(metavar="SQL", help='Use only masks that meet this condition, e.g. "area > 900".'),
]
Key = Annotated[
    str | None,
    typer.Option(metavar="PATTERN", help="Use only images whose key matches, e.g. 'cam1/*'."),
]
WhereImage = Annotated[
    str | None,
    typer.Option(
        metavar="SQL", help='Use only images that meet this condition, e.g. "height > 720".'
    ),
]
Categories = Annotated[
    str | None, typer.Option(metavar="NAME,NAME", help="Use only masks of these categories.")
]
SummaryJson = Annotated[
    Path | None,
    typer.Option(
        "--summary-json", metavar="FILE", help="Also write the summary of the run to FILE, as JSON."
    ),
]
Metrics = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Also write metrics for Prometheus to FILE, as text."),
]
LogJson = Annotated[
    Path | None,
    typer.Option("--log-json", metavar="FILE", help="Also append all events to FILE, as JSON."),
]
Nice = Annotated[
    int, typer.Option(min=0, max=19, metavar="N", help="Lower the priority: 19 is the lowest.")
]
Slice = Annotated[
    str | None,
    typer.Option(
        "--slice",
        metavar="auto|PX",
        help="Also look at larger images in tiles, for small objects; auto fits the model.",
    ),
]
SkipStatic = Annotated[
    bool,
    typer.Option(
        "--skip-static",
        help="Do not process frames that look like the last processed one of their camera.",
    ),
]
StaticThreshold = Annotated[
    float,
    typer.Option(
        metavar="LEVELS",
        help="With --skip-static: the change in one of 64 x 36 cells that counts, of 255.",
    ),
]
StaticAge = Annotated[
    str,
    typer.Option(
        metavar="TIME",
        help="With --skip-static: process at least one frame of a camera in this time.",
    ),
]
Static = Annotated[
    Literal["repeat", "ignore"],
    typer.Option(help="Static images: count the masks that they repeat, or leave the images out."),
]
TimePattern = Annotated[
    str | None,
    typer.Option(
        metavar="PATTERN",
        help="How names state time and camera: 'cam%(camera)_%Y%m%d-%H%M%S', or %s for seconds.",
    ),
]
PartitionBy = Annotated[
    str | None,
    typer.Option(
        metavar="date|camera|date,camera",
        help="Put the parts of a new output into Hive-style folders by date, camera or both.",
    ),
]
TimeColumn = Annotated[
    str | None, typer.Option(metavar="NAME", help="The column with the time of the image.")
]
Every = Annotated[
    str,
    typer.Option(
        metavar="5f|1s|keyframe",
        help="Which frames of videos to read: every fifth, one per second, or the keyframes.",
    ),
]
Zones = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Zones of cameras (GeoJSON); `segcli zones` draws them."),
]
Model = Annotated[
    str | None,
    typer.Option(metavar="FAMILY[/VARIANT]", help="The model; `segcli models` lists them."),
]
Threads = Annotated[
    int | None, typer.Option(help="The number of threads; by default one per core.")
]
Wait = Annotated[
    bool, typer.Option("--wait", help="Wait while another process writes to the output.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Wide = Annotated[
    bool, typer.Option("--wide", help="Show all columns, even if they do not fit the terminal.")
]

MinArea = Annotated[int, typer.Option(min=0, help="Drop masks with a smaller area in px.")]
Tta = Annotated[
    Literal["none", "flip"],
    typer.Option(help="Test-time augmentation: flip merges in what the mirrored image shows."),
]
Agnostic = Annotated[
    bool,
    typer.Option(
        "--merge-class-agnostic",
        help="Keep the best of masks that overlap by an IoU above 0.5, whatever their categories.",
    ),
]


def comma_list(text: str, option: str) -> tuple[str, ...]:
    """The entries of "person, car" without surrounding spaces.

    Raises UsageError, which names `option`, if there are none.
    """
    entries = tuple(word.strip() for word in text.split(",") if word.strip())
    if not entries:
        raise UsageError(f"{option} {text!r} is empty; expected entries separated by commas")
    return entries


def category_names(text: str | None) -> tuple[str, ...] | None:
    """The names in --categories; None if it is not given. Raises UsageError."""
    return None if text is None else comma_list(text, "--categories")


class LeastScores(TypedDict):
    """The arguments of PredictOptions that --min-score stands for."""

    min_score: float
    class_scores: tuple[tuple[str, float], ...]


def least_scores(text: str, default: float) -> LeastScores:
    """ "0.1,person=0.5": 0.1 for all categories but person; `default` where no number is alone.

    Raises UsageError.
    """
    own: dict[str, float] = {}
    general: list[float] = []
    for entry in comma_list(text, "--min-score"):
        name, _, number = entry.rpartition("=")
        name = name.strip()
        try:
            score = float(number)
        except ValueError:
            score = math.nan
        if not 0 <= score <= 1 or (not name and general) or name in own:
            raise UsageError(
                f"--min-score {entry!r}: expected a number from 0 to 1, or NAME=NUMBER once for a "
                "category, as in person=0.5,car=0.3"
            )
        if name:
            own[name] = score
        else:
            general.append(score)
    least = general[0] if general else default
    return {"min_score": least, "class_scores": tuple(own.items())}
