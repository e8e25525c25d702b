"""`segcli status`: what an output contains and who writes to it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segcli.cli.options import Json
from segcli.errors import ExitCode
from segcli.plurals import counted

if TYPE_CHECKING:
    from segcli.store import Status

Out = Annotated[Path, typer.Argument(metavar="OUT", help="The output of segcli predict.")]


def status(out: Out, as_json: Json = False) -> None:
    """Show what OUT contains and who writes to it: images, masks, parts, settings, lock.

    It takes no lock and can run at any time. Exit codes: 0 OUT is intact (even if it is empty,
    being written, or has failed images), 2 OUT does not exist or a part cannot be read.
    """
    from dataclasses import asdict

    from segcli.store import status as read

    found = read(out)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
    else:
        for name, text in _lines(found):
            typer.echo(f"{name:<14} {text}")
    for problem in found.problems:
        if not as_json:
            typer.echo(problem, err=True)
    if found.problems:
        raise typer.Exit(ExitCode.USAGE)


def _lines(found: Status) -> list[tuple[str, str]]:
    static = f" and {found.static:,} are static" if found.static else ""
    lines = [
        ("output", found.out),
        ("images", f"{found.images:,}, of which {found.failed:,} failed{static}"),
        ("masks", f"{found.masks:,}"),
        *([("pruned images", f"{found.pruned:,}")] if found.pruned else []),
        ("parts", f"{found.parts:,}, {size_text(found.size)} in all"),
        ("newest part", "none yet" if found.newest is None else _when(found.newest)),
        *_settings(found.settings),
    ]
    for prefix, roots in sorted(found.sources.items()):
        lines += [("source", f"{root} as {prefix!r}" if prefix else root) for root in roots]
    return [*lines, ("writer", _writer(found.writer))]


def _settings(settings: dict[str, Any]) -> list[tuple[str, str]]:
    from segcli.store import min_scores

    lines = []
    if "family" in settings:
        model = f"{settings['family']}/{settings.get('variant')} ({settings.get('weights')})"
        lines.append(("model", f"{model}, {settings.get('precision')}"))
    if "min_score" in settings:
        most = settings.get("max_masks")
        lines.append(("kept", f"scores from {settings['min_score']:g}, {most} masks per image"))
    if settings.get("default_score") is not None and "imported_from" not in settings:
        text = f"{min_scores(settings, None)}; viz, stats, report and export start there"
        lines.append(("default score", text))
    names = settings.get("categories") or settings.get("category_names")
    if names:
        more = len(names) - 6
        text = ", ".join(names[:6]) + (f" and {more} more" if more > 0 else "")
        lines.append(("categories", text))
    if isinstance(file := settings.get("zones_file"), dict):
        named = [feature["properties"]["name"] for feature in file["content"]["features"]]
        lines.append(("zones", f"{', '.join(named)} ({file['path']})"))
    return lines


def _when(newest: str) -> str:
    at = datetime.fromisoformat(newest)
    minutes = int((datetime.now(UTC) - at).total_seconds() // 60)
    if minutes < 60:
        ago = counted(max(minutes, 0), "minute")
    elif minutes < 48 * 60:
        ago = counted(minutes // 60, "hour")
    else:
        ago = counted(minutes // (24 * 60), "day")
    return f"{at:%Y-%m-%d %H:%M:%S} UTC, {ago} ago"


def _writer(who: dict[str, Any] | None) -> str:
    if who is None:
        return "none"
    if "shards" in who:
        return "the shards of a run"
    if "pid" in who:
        return f"process {who['pid']} on {who.get('host')}, or a worker it left behind"
    return "an unknown process"


def size_text(size: float) -> str:
    """12 bytes, 3.4 kB, 5.6 MB."""
    if size < 1000:
        return f"{size:.0f} bytes"
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 1000:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} TB"
