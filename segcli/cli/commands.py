"""The table of all commands, and the application built from it."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from types import MappingProxyType
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup


class Command(NamedTuple):
    """`panel` and `summary` appear in `segcli --help`; `function` is its name in the file.

    `goes_on`: the command continues when the reader of its output has exited (`| head`).
    """

    panel: str
    summary: str
    function: str
    file: str
    goes_on: bool = False


COMMANDS = MappingProxyType(
    {
        "predict": Command(
            "Predict", "Find the masks of every image in a source.", "predict", "predict", True
        ),
        "train": Command(
            "Predict", "Train a model on images with COCO annotations.", "train", "train", True
        ),
        "viz": Command("Look", "Draw the masks on their images.", "viz", "viz"),
        "report": Command("Look", "Write one HTML page about an output.", "report", "report"),
        "status": Command(
            "Look", "Show what an output contains and who writes to it.", "status", "status"
        ),
        "verify": Command("Look", "Check every part of an output.", "verify", "verify"),
        "track": Command(
            "Measure", "Number objects over the frames of a camera.", "track", "track", True
        ),
        "stats": Command("Measure", "Count and measure the masks.", "stats", "stats"),
        "eval": Command("Measure", "Compare masks with ground truth.", "eval_", "eval"),
        "export": Command(
            "Move data", "Write the masks in the formats of other tools.", "export", "export"
        ),
        "import": Command(
            "Move data", "Turn annotations of other tools into an output.", "import_", "import_"
        ),
        "manifest": Command(
            "Move data", "List an archive as one Parquet file.", "manifest", "manifest", True
        ),
        "compact": Command(
            "Move data", "Merge many small parts into few.", "compact", "compact", True
        ),
        "prune": Command("Move data", "Remove the rows of old images.", "prune", "prune", True),
        "init": Command("Set up", "Print a cron line or units for regular runs.", "init", "init"),
        "zones": Command("Set up", "Draw zones of a camera in the browser.", "zones", "zones"),
        "models": Command("Set up", "List models and their weights.", "models", "models"),
        "doctor": Command("Set up", "Check this installation.", "doctor", "doctor"),
        "weights": Command("Set up", "Fetch, convert and list weights.", "app", "weights"),
    }
)
"""Each command, in the order of the help."""


class _Panels(TyperGroup):
    """Lists the commands under the titles of their panels, without rich, which loads too slowly."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")  # added by pydantic
            raise

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        width = max(len(name) for name in self.commands)
        panels: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            summary = command.get_short_help_str(formatter.width - 6 - width)
            title = str(getattr(command, "rich_help_panel", None) or "Commands")
            panels.setdefault(title, []).append((name.ljust(width), summary))
        for title, rows in panels.items():
            with formatter.section(title):
                formatter.write_dl(rows)


def application(names: Iterable[str]) -> typer.Typer:
    """The commands with these names; importing all of them would take too long at the start."""
    made = typer.Typer(
        name="segcli",
        cls=_Panels,
        help="Batch instance segmentation of large image archives: folders in, masks in Parquet "
        "out.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # plain help: rich would take a third of the start-up limit
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    made.callback()(_main)
    for name in names:
        known = COMMANDS[name]
        command = getattr(import_module(f"segcli.cli.{known.file}"), known.function)
        if isinstance(command, typer.Typer):
            made.add_typer(
                command, name=name, short_help=known.summary, rich_help_panel=known.panel
            )
        else:
            made.command(name, short_help=known.summary, rich_help_panel=known.panel)(command)
    return made


def _print_version(wanted: bool) -> None:
    if wanted:
        from segcli import __version__

        typer.echo(f"segcli {__version__}")
        raise typer.Exit


def _main(
    version: bool = typer.Option(
        False,
        "--version",
        help="Print the version and exit.",
        callback=_print_version,
        is_eager=True,
    ),
) -> None:
    pass
