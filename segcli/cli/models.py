"""`segcli models`: the installed families, their variants, and which weights are here."""

from __future__ import annotations

import json
from typing import Any

import typer

from segcli.cli.options import Json
from segcli.errors import UsageError

NAMES_SHOWN = 6


def models(as_json: Json = False) -> None:
    """List model families, their variants and categories, and which weights are here."""
    found = describe()
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        _print(found)


def describe() -> dict[str, Any]:
    """Every variant of every family, and the plugins that could not be loaded; loads no torch."""
    from segcli.models import registry

    installed = registry.plugins()
    try:
        _, info = registry.find(None)
        default = f"{info.family}/{info.variant}"
    except UsageError:
        default = ""
    rows = [
        _variant(f"{plugin.name}/{variant}")
        for plugin in installed
        for variant in (plugin.family.variants if plugin.family else ())
    ]
    broken = [{"family": p.name, "error": p.error} for p in installed if p.error]
    return {"default": default, "models": rows, "broken": broken}


def _variant(model: str) -> dict[str, Any]:
    """One row; categories and scores are those of the weights where there are any."""
    from segcli.models import registry

    weights: str | None = None
    try:
        found = registry.locate(model, None)
        info = found.info
        ships = found.path in registry.shipped(info.family).values()
        weights = "shipped" if ships else str(found.path)
        if found.path == registry.NO_WEIGHTS:
            weights = "not needed"
    except UsageError:
        _, info = registry.find(model)
    return {
        "model": model,
        "weights": weights,
        "categories": list(info.categories),
        "short_px": info.resize.short,
        "long_px": info.resize.long,
        "default_score": info.default_score,
        "default_scores": info.default_scores,
    }


def _print(found: dict[str, Any]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("model", "weights", "short x long, px", "categories"):
        table.add_column(column, overflow="fold")
    for row in found["models"]:
        table.add_row(
            row["model"] + (" (default)" if row["model"] == found["default"] else ""),
            row["weights"] or "none: --weights PATH",
            f"{row['short_px']} x {row['long_px']}",
            _names(row["categories"]),
        )
    console = Console()
    if not console.is_terminal:  # a pipe has no width: one line per model
        console = Console(width=200)
    console.print(table)
    for plugin in found["broken"]:
        typer.echo(f"cannot be loaded: {plugin['family']}: {plugin['error']}")


def _names(categories: list[str]) -> str:
    shown = ", ".join(categories[:NAMES_SHOWN])
    more = len(categories) - NAMES_SHOWN
    return f"{len(categories)}: {shown}" + (f" and {more} more" if more > 0 else "")
