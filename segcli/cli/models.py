"""`segcli models`: the installed families, their variants, and which weights are here."""

from __future__ import annotations

import json
from typing import Any

import typer

from segcli.cli.options import Json, Wide


def models(as_json: Json = False, wide: Wide = False) -> None:
    """List model families, their variants and categories, and which weights are here.

    weights: shipped with the package, kept (converted by `segcli weights convert`), not needed, or
    none (give --weights PATH). px: short and long side at which the model sees an image.
    """
    from segcli.models.catalogue import describe

    found = describe()
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        _print(found, wide=wide)


def _print(found: dict[str, Any], *, wide: bool) -> None:
    from rich.console import Console

    console = Console()
    # A pipe has no width: everything, one line per model.
    width = None if wide or not console.is_terminal else console.width
    for line in table(found, width):
        typer.echo(line)
    for plugin in found["broken"]:
        typer.echo(f"cannot be loaded: {plugin['family']}: {plugin['error']}")


def table(found: dict[str, Any], width: int | None) -> list[str]:
    """Lines of at most `width` characters with whole names; None: as wide as it takes."""
    rows = [("model", "weights", "px", "categories")]
    for row in found["models"]:
        model = row["model"] + (" (default)" if row["model"] == found["default"] else "")
        rows.append((model, _weights(row["weights"], wide=width is None), _px(row), ""))
    first = [max(len(row[column]) for row in rows) for column in range(3)]
    left = None if width is None else max(0, width - sum(first) - 6)
    lines = []
    for number, cells in enumerate(rows):
        names = found["models"][number - 1]["categories"] if number else None
        last = cells[3] if names is None else category_text(names, left)
        padded = [cell.ljust(size) for cell, size in zip(cells[:3], first, strict=True)]
        lines.append("  ".join([*padded, last]).rstrip())
    return lines


def _weights(where: str | None, *, wide: bool) -> str:
    """Where the weights are; in a narrow table a path is "kept"."""
    if where is None:
        return "none"
    return where if wide or where in ("shipped", "not needed") else "kept"


def _px(row: dict[str, Any]) -> str:
    return f"{row['short_px']} x {row['long_px']}"


def category_text(names: list[str], width: int | None) -> str:
    """How many, and as many whole names as fit into `width`; None: all of them."""
    if width is None:
        return f"{len(names)}: {', '.join(names)}"
    for shown in range(len(names), 0, -1):
        more = f" and {len(names) - shown} more" if shown < len(names) else ""
        text = f"{len(names)}: {', '.join(names[:shown])}{more}"
        if len(text) <= width:
            return text
    return str(len(names))
