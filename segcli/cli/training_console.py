"""Show the progress of a training: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from segcli.train.loop import Progress
    from segcli.train.recipe import Recipe

EVERY_S = 15.0  # between two lines in a log
_SMOOTH = 0.9


@contextmanager
def training_progress(recipe: Recipe, steps: int) -> Iterator[Callable[[Progress], None]]:
    """A function that shows the progress after each of `steps` steps."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = TextColumn("epoch {task.fields[epoch]}"), BarColumn(), MofNCompleteColumn()
    with Bar(*columns, TextColumn("{task.fields[state]}")) as bar:
        task = bar.add_task("", total=steps, epoch=1, state="preparing the first batch")
        speed = _Speed()
        last = float("-inf")

        def report(progress: Progress) -> None:
            nonlocal last
            pace = speed.after(progress)
            losses = " ".join(f"{k} {v:.3f}" for k, v in progress.losses.items())
            left = duration((progress.steps - progress.step) * recipe.batch_size / pace)
            state = f"{pace:.1f} images/s, {left} left, {losses}"
            bar.update(
                task, total=progress.steps, completed=progress.step, epoch=progress.epoch + 1,
                state=state,
            )  # fmt: skip
            now = time.monotonic()
            due = now - last >= EVERY_S or progress.step == progress.steps
            if due and not bar.console.is_terminal:
                last = now
                typer.echo(
                    f"epoch {progress.epoch + 1} step {progress.step}/{progress.steps} {state}"
                )

        yield report


class _Speed:
    """Images per second, from an exponential mean of the seconds per image."""

    def __init__(self) -> None:
        self._seconds: float | None = None

    def after(self, progress: Progress) -> float:
        seconds = 1 / max(progress.images_per_s, 1e-9)
        if self._seconds is not None:
            seconds = _SMOOTH * self._seconds + (1 - _SMOOTH) * seconds
        self._seconds = seconds
        return 1 / seconds


def duration(seconds: float) -> str:
    """3 h 20 min, 12 min or 40 s."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
