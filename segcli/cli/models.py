"""`segcli models`: the installed models with AP, licence, speed and weights."""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segcli.cli.options import Json, Wide

if TYPE_CHECKING:
    from segcli.models.speeds import Speed

Name = Annotated[
    str | None,
    typer.Argument(metavar="FAMILY[/VARIANT]", help="Show one model, or those of one family."),
]
Measure = Annotated[
    str | None,
    typer.Option(
        metavar="FAMILY[/VARIANT]",
        help="Measure the speed of this model here first, and keep it for later lists.",
    ),
]

_WIDTH = 80


def models(
    name: Name = None, measure: Measure = None, as_json: Json = False, wide: Wide = False
) -> None:
    """List models with their mask AP, licence and speed, and show which weights are installed.

    weights: shipped, kept (in the weights folder), not needed, fetch (`segcli weights fetch`),
    browser (download by hand), train (none are published). AP: as published, in % on COCO.
    """
    from segcli.models.catalogue import describe
    from segcli.models.registry import find

    if measure is not None:
        _measure(measure)
    found = describe()
    if name is not None:
        _, info = find(name)
        chosen = f"{info.family}/{info.variant}" if "/" in name else f"{info.family}/"
        found["models"] = [row for row in found["models"] if row["model"].startswith(chosen)]
        if "/" in name:
            found["models"] = [row for row in found["models"] if row["model"] == chosen]
    if as_json:
        rows = [{**row, "speed": row["speed"] and asdict(row["speed"])} for row in found["models"]]
        typer.echo(json.dumps({**found, "models": rows}, indent=2))
    elif name is not None and "/" in name:
        typer.echo("\n".join(card(found["models"][0], default=found["default"])))
    else:
        _print(found, wide=wide)


def _measure(model: str) -> None:
    from segcli.api.speed import measure_speed
    from segcli.models.registry import find
    from segcli.models.speeds import keep_speed

    _, info = find(model)
    name = f"{info.family}/{info.variant}"
    typer.echo(f"timing {name}", err=True)
    speed = measure_speed(name)
    typer.echo(f"{name}: {_speed(speed)}", err=True)
    if keep_speed(name, speed) is None:
        typer.echo("this is not kept, because this user has no home; set XDG_CACHE_HOME", err=True)


def _print(found: dict[str, Any], *, wide: bool) -> None:
    from segcli.cli.tables import TablePrinter

    printer = TablePrinter(wide=wide)
    titles = ["model", "AP", "classes", "licence", "MB", "s/image", "weights"]
    rows = [_cells(row) for row in found["models"]]
    if wide:
        titles += ["px", "categories", "file", "source"]
        rows = [[*cells, *_more(row)] for cells, row in zip(rows, found["models"], strict=True)]
    elif not any(row["speed"] for row in found["models"]):
        column = titles.index("s/image")
        titles.pop(column)
        rows = [[*cells[:column], *cells[column + 1 :]] for cells in rows]
    words = ("licence", "weights", "px", "categories", "file", "source")
    printer.table(titles, rows, optional=("MB", "s/image"), words=words)
    for line in _notes(found):
        printer.line(line)
    printer.end()


def _cells(row: dict[str, Any]) -> list[str]:
    return [
        row["model"],
        "" if row["ap"] is None else f"{row['ap']:.1f}",
        str(len(row["categories"])),
        row["licence"] or "",
        "" if row["size_mb"] is None else f"{row['size_mb']:.0f}",
        "" if row["speed"] is None else f"{row['speed'].seconds:.3g}",
        _weights(row),
    ]


def _more(row: dict[str, Any]) -> list[str]:
    return [
        f"{row['short_px']} x {row['long_px']}",
        ", ".join(row["categories"]),
        row["url"] or "",
        row["source"] or "",
    ]


def _weights(row: dict[str, Any]) -> str:
    """How to get the weights; "kept" instead of a path."""
    if row["state"] != "here":
        return str(row["state"])
    return row["weights"] if row["weights"] in ("shipped", "not needed") else "kept"


def _notes(found: dict[str, Any]) -> list[str]:
    lines = [f"default: {found['default']}"] if found["default"] else []
    lines.append("one model: segcli models NAME; its weights: segcli weights fetch NAME")
    missing = {
        (row["model"].partition("/")[0], module): how
        for row in found["models"]
        for module, how in row["missing"].items()
    }
    lines += [f"{family} needs {module}: {how}" for (family, module), how in missing.items()]
    lines += [f"cannot be loaded: {p['family']}: {p['error']}" for p in found["broken"]]
    return lines


def card(row: dict[str, Any], *, default: str) -> list[str]:
    """One model, as lines of at most 80 characters but for addresses and paths."""
    model = row["model"]
    facts = {
        "mask AP": row["ap"]
        and f"{row['ap']:.1f} % on COCO {row['ap_images']}, as published ({row['source']})",
        "keypoint AP": row["keypoint_ap"]
        and f"{row['keypoint_ap']:.1f} % on COCO {row['ap_images']}, as published "
        f"({row['source']})",
        "categories": f"{len(row['categories'])}: {', '.join(row['categories'])}",
        "image size": f"{row['short_px']} x {row['long_px']} px (short and long side)",
        "licence": row["licence"]
        and row["licence"] + (": see the source" if row["non_commercial"] else ""),
        "weights": _how(row),
        "address": row["url"],
        "needs": "; ".join(f"{module}: {how}" for module, how in row["missing"].items()),
        "speed": f"segcli models {model} --measure {model}"
        if row["speed"] is None
        else _speed(row["speed"]),
        "scores": f"masks are shown from {row['default_score']:g}",
        "card": row["card"],
    }
    lines = [model + (" (default)" if model == default else "")]
    for name, fact in facts.items():
        if fact:
            indent = " " * 14
            lines += textwrap.wrap(
                fact, _WIDTH, initial_indent=f"  {name:<12}", subsequent_indent=indent,
                break_long_words=False, break_on_hyphens=False,
            )  # fmt: skip
    return lines


def _how(row: dict[str, Any]) -> str:
    """Where the weights are, or the command that gets them."""
    model, state = row["model"], row["state"]
    if state == "here":
        return str(row["weights"])
    if state == "browser":
        return f"{row['by_hand']}: save it, then segcli weights convert FILE --model {model}"
    if state == "train":
        return f"nobody has published any: segcli train --model {model}"
    size = "" if row["size_mb"] is None else f" ({row['size_mb']:.0f} MB)"
    accept = " --accept-licence" if row["non_commercial"] else ""
    return f"segcli weights fetch {model}{accept}{size}"


def _speed(speed: Speed) -> str:
    weights = "" if speed.weights else ", random weights"
    return (
        f"{speed.seconds:.3g} s for an image of {speed.image} px (on {speed.device} in "
        f"{speed.precision}{weights}, {speed.date})"
    )
