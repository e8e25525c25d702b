"""`segcli track`: follow objects over the frames of each camera."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segcli.cli.console import say, silent
from segcli.cli.options import Masks, Quiet, TimeColumn, TimePattern, Wait
from segcli.plurals import counted

if TYPE_CHECKING:
    from segcli.track import TrackSummary

Out = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Track a copy of the output, which later calls bring up to date; name it *.parquet.",
    ),
]
MaxGap = Annotated[
    str,
    typer.Option(
        metavar="TIME", help="How long an object may be hidden and still be the same one."
    ),
]
MinFrames = Annotated[
    int, typer.Option(min=1, help="Give no number to objects seen in fewer frames.")
]
MinScore = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="The score from which a mask begins a track; by default the model's default score.",
    ),
]
WeakScore = Annotated[
    float, typer.Option(min=0, max=1, help="The score from which a mask continues a track.")
]
Restart = Annotated[
    bool, typer.Option("--restart", help="Track all images again, with new numbers.")
]


def track(
    masks: Masks,
    out: Out = None,
    max_gap: MaxGap = "3s",
    min_frames: MinFrames = 2,
    min_score: MinScore = None,
    weak_score: WeakScore = 0.1,
    time_pattern: TimePattern = None,
    time_column: TimeColumn = None,
    restart: Restart = False,
    wait: Wait = False,
    quiet: Quiet = False,
) -> None:
    """Number the objects in DIR: a mask gets the `track_id` of the same object in earlier frames.

    Each camera is followed in the order of time, across its clips. Run it after `predict`: it goes
    on where each camera ended.
    """
    from segcli.cli.quantities import seconds
    from segcli.track import Rules, TrackOptions
    from segcli.track import track as follow

    gap = seconds(max_gap)
    assert gap is not None, "a text was given"
    options = TrackOptions(
        masks=masks, out=out, rules=Rules(gap, min_frames, weak_score), min_score=min_score,
        time_pattern=time_pattern, time_column=time_column, restart=restart, wait=wait,
    )  # fmt: skip
    report = silent if quiet else say
    done = follow(options, report=report)
    for note in _notes(done, max_gap):
        report(note)
    if quiet:
        return
    if not done.images:
        typer.echo(f"nothing new to track in {done.output}")
        return
    typer.echo(
        f"{counted(done.images, 'new image')}, {counted(done.tracks, 'new track')}, "
        f"{counted(done.masks, 'mask')} with a number -> {done.output}"
    )


def _notes(done: TrackSummary, max_gap: str) -> list[str]:
    notes = []
    if done.late:
        notes.append(
            f"{counted(done.late, 'image')} came after later ones of the same camera had been "
            f"tracked, and got no tracks; --restart tracks everything again"
        )
    if done.changed:
        notes.append(
            f"{counted(done.changed, 'image')} processed again since the last call got no tracks; "
            f"--restart tracks everything again"
        )
    if done.steps and done.apart > done.steps / 2:
        notes.append(
            f"{done.apart:,} of {counted(done.steps, 'image')} are more than --max-gap {max_gap} "
            f"after the previous one; no object can be followed across these gaps"
        )
    if done.timeless:
        unknown = (
            "the start time of 1 clip is unknown, so it"
            if done.timeless == 1
            else f"the start times of {counted(done.timeless, 'clip')} are unknown, so each"
        )
        notes.append(f"{unknown} is tracked by itself; see --time-pattern and --time-column")
    return notes
