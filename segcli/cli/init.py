"""`segcli init`: print what makes a scheduler run `segcli predict` again and again."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from segcli.cli import quantities, schedules
from segcli.cli.options import category_names, least_scores
from segcli.errors import UsageError
from segcli.files import home_folder

Scheduler = Annotated[
    Literal["cron", "systemd", "slurm"],
    typer.Argument(
        metavar="SCHEDULER",
        help="What starts the runs: cron, systemd (a timer) or slurm (a job script).",
    ),
]
Source = Annotated[str, typer.Argument(metavar="SOURCE", help="What to process, as for predict.")]
Out = Annotated[str, typer.Argument(metavar="OUT", help="The output, as for predict.")]
PassedOn = Annotated[
    list[str] | None,
    typer.Argument(metavar="OPTION", help="More options of predict, after `--`."),
]
Interval = Annotated[
    str,
    typer.Option("--every", metavar="30m|1h|1d", help="The time from one start to the next."),
]


def init(
    scheduler: Scheduler,
    source: Source,
    out: Out,
    options: PassedOn = None,
    every: Interval = "1h",
) -> None:
    """Print a crontab line, a systemd service and timer, or an sbatch script for this machine.

    It runs `segcli predict SOURCE --out OUT` from this installation, and appends errors to a log
    file next to OUT. Nothing is installed: the printed comments say where to put the text.
    """
    job = _job(source, out, list(options or ()), every)
    printed = {"cron": schedules.cron, "systemd": schedules.systemd, "slurm": schedules.slurm}
    typer.echo(printed[scheduler](job), nl=False)


def _job(source: str, out: str, passed: list[str], every: str) -> schedules.Job:
    from segcli.cloud.urls import url_of
    from segcli.sources import parse_age

    wanted = _checked(source, out, passed)
    where = url_of(out) or os.path.abspath(out)
    log = Path(_log_folder(where), f"{Path(where).name}.log")
    if not log.parent.is_dir():
        raise UsageError(f"no such folder: {str(log.parent)!r}; create it, then run this again")
    if wanted["prune_missing"]:
        raise UsageError(
            "--prune-missing contradicts --older-than of scheduled runs: run it by hand"
        )
    words = [*_program(), "predict", _absolute_source(source), "--out", where]
    if wanted["older_than"] is None:
        words += ["--older-than", "5m"]
    interval = int(parse_age(every))
    if wanted["max_time"] is None:
        words += ["--max-time", schedules.max_time(interval)]
    if not wanted["quiet"]:
        words.append("--quiet")
    words += _with_absolute_paths(passed)
    _refuse_unprintable([*words, str(log)])
    return schedules.Job(tuple(words), where, log, interval, waits=bool(wanted["wait"]))


def _log_folder(where: str) -> Path:
    """The folder of a local output; for one in a bucket, the home of the user."""
    from segcli.cloud.urls import url_of

    if not url_of(where):
        return Path(where).parent
    home = home_folder()
    if home is None:
        raise UsageError(
            "the log of an output in a bucket is written to the home folder, and this user has "
            "none: set HOME to a folder, then run this again"
        )
    return home


def _checked(source: str, out: str, passed: list[str]) -> dict[str, Any]:
    """The arguments of predict by name. Raises UsageError for values that predict would
    refuse, and typer's errors of the options."""
    from typer.main import get_command

    from segcli.cli.commands import application

    group = get_command(application(["predict"]))
    predict = group.commands["predict"]  # type: ignore[attr-defined]
    words = [source, "--out", out, *passed]
    arguments: dict[str, Any] = predict.make_context("segcli predict", words).params
    _check_values(arguments)
    if arguments["source"] != [source] or str(arguments["out"]) != str(Path(out)):
        raise UsageError(
            f"{' '.join(passed)!r} after OUT: expected options of segcli predict other than --out, "
            "and no second source"
        )
    return arguments


def _check_values(given: Mapping[str, Any]) -> None:
    """Raises UsageError for arguments that predict would refuse before it reads anything."""
    from segcli.pipeline import PredictOptions
    from segcli.sources import parse_age
    from segcli.video.every import parse_every

    parse_every(given["every"])
    for limit in filter(None, (given["older_than"], given["newer_than"])):
        parse_age(limit)
    names = {field.name for field in fields(PredictOptions)}
    same = {name: value for name, value in given.items() if name in names}
    converted = {
        "categories": category_names(given["categories"]),
        "static_age": quantities.age(given["static_age"]),
        "max_time": quantities.seconds(given["max_time"]),
        "max_memory": quantities.size(given["max_memory"]),
        "batch_size": quantities.batch_size(given["batch_size"]),
        **least_scores(given["min_score"], PredictOptions(source="", out=Path()).min_score),
    }
    PredictOptions(**{**same, **converted})


def _program() -> list[str]:
    """The command of this installation, with the folders of weights that this environment sets."""
    names = ("SEGCLI_WEIGHTS", "XDG_DATA_HOME")
    folders = [f"{name}={os.path.abspath(os.environ[name])}" for name in names if os.getenv(name)]
    program = _segcli()
    if not folders:
        return program
    if "=" in program[0]:  # env would take the path for a variable
        program = [*schedules.THROUGH_SHELL, *program]
    return ["/usr/bin/env", *folders, *program]


def _segcli() -> list[str]:
    """The command of this installation; it must not depend on PATH."""
    script = Path(sys.executable).parent / "segcli"
    return [str(script)] if script.is_file() else [sys.executable, "-m", "segcli"]


def _absolute_source(source: str) -> str:
    """A path, NAME=PATH or a URL, independent of the current folder. Raises UsageError."""
    from segcli.cloud.urls import url_of
    from segcli.sources.several import name_and_path

    name, path = name_and_path(source)
    if (url := url_of(path)) is None:
        url = os.path.abspath(path)
        if not os.path.lexists(url):
            raise UsageError(f"no such file or folder: {path!r}; expected the source of the runs")
    return f"{name}={url}" if name else url


_FILES = ("--summary-json", "--zones", "--metrics", "--log-json")
"""Options of predict that take a file."""


def _with_absolute_paths(words: list[str]) -> list[str]:
    """The options of predict with the files among them as absolute paths.

    `--weights` may also be a name, so only existing files are changed.
    """
    changed: list[str] = []
    for before, word in pairwise(["", *words]):
        joined = word.startswith("--") and "=" in word
        option, path = word.split("=", 1) if joined else (before, word)
        if option in _FILES or (option == "--weights" and os.path.exists(path)):
            path = os.path.abspath(path)
        changed.append(f"{option}={path}" if joined else path)
    return changed


def _refuse_unprintable(words: list[str]) -> None:
    for word in words:
        if re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", word):
            raise UsageError(
                f"{word!r} has a control character, such as a line break, or bytes that are not "
                "UTF-8, which schedulers do not accept; give it another name, or a link to it"
            )
