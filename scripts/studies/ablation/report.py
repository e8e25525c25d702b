"""The table and plots of the ablation, from all finished cells."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from scripts.studies.ablation.models import FAMILIES, SWITCHES

TITLES = {
    "baseline": "baseline",
    "excavate": "+ excavating",
    "purify": "+ purifying",
    "both": "both (PEP)",
    "maskrcnn": "Mask R-CNN",
    "embedmask": "EmbedMask",
    "solo": "SOLOv2",
    "condinst": "CondInst",
    "discriminative": "discriminative",
    "watershed": "watershed",
}
# Figure -> heading, factor, decimals.
MAIN = {
    "AP": ("AP", 100, 2),
    "AP50": ("AP50", 100, 2),
    "AP75": ("AP75", 100, 2),
    "APs": ("AP S", 100, 2),
    "APm": ("AP M", 100, 2),
    "APl": ("AP L", 100, 2),
    "recall_crowded": ("recall, centre in another's box", 100, 1),
    "recall_alone": ("recall, others", 100, 1),
    "duplicates_per_image": ("duplicates / image", 1, 2),
    "predict_ms": ("ms / image", 1, 1),
}
INSIDE = {
    "originals_per_image": ("originals / image", 1, 1),
    "keys_per_image": ("key pixels / image", 1, 1),
    "keys_on_a_centre": ("of these on a centre, %", 100, 0),
    "hits_not_yet_found": ("of those hits, no original has it, %", 100, 0),
    "mined_class_right": ("class right, %", 100, 0),
    "original_iou": ("mask IoU of originals", 100, 1),
    "mined_iou": ("mask IoU of mined", 100, 1),
    "linked_if_same": ("linked if one object, %", 100, 0),
    "linked_if_other": ("linked if two, %", 100, 0),
    "objects_lost_in_groups_per_image": ("objects merged away / image", 1, 2),
}

BEGIN, END = "<!-- ablation -->", "<!-- end of ablation -->"

Cells = dict[tuple[str, str], list[dict[str, Any]]]


def write_report(folder: Path, out: Path, facts: dict[str, Any]) -> None:
    """table.md, table.json, and a picture for each data set."""
    cells: Cells = {}
    for path in sorted(folder.glob("*.json")):
        cell = json.loads(path.read_text())
        cells.setdefault((cell["data"], cell["model"]), []).append(cell)
    text = [f"Settings: {', '.join(f'{k} {v}' for k, v in facts.items())}", ""]
    for data in sorted({data for data, _ in cells}):
        text += [f"## {data}", "", *_table(cells, data, MAIN), ""]
        text += ["Inside PEP:", "", *_table(cells, data, INSIDE), ""]
        _plot(cells, data, out / f"{data}.png")
    (out / "table.md").write_text("\n".join(text) + "\n")
    summary = {
        f"{data}/{model}": {name: _spread(group, name) for name in (*MAIN, *INSIDE)}
        for (data, model), group in cells.items()
    }
    (out / "table.json").write_text(json.dumps({"facts": facts, "cells": summary}, indent=1))


def put_into(page: Path, out: Path) -> None:
    """Replace what stands between the marks of a page by the table, and copy the plots to the
    page's folder `methods`."""
    text = page.read_text()
    if BEGIN not in text or END not in text:
        sys.exit(f"ablation_pep: {page} has no lines {BEGIN} and {END} to put the table between")
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    table = (out / "table.md").read_text().replace("## ", "### ")
    page.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")
    for plot in out.glob("*.png"):
        shutil.copyfile(plot, page.parent / "methods" / f"pep-ablation-{plot.name}")


def _spread(group: Sequence[dict[str, Any]], name: str) -> dict[str, Any] | None:
    """Mean, standard deviation over the seeds, and each of them; None where it is not measured."""
    values = [cell[name] for cell in group if cell.get(name) is not None]
    values = [value for value in values if value == value and value > -1]
    if not values:
        return None
    return {
        "mean": fmean(values), "sd": stdev(values) if len(values) > 1 else None, "each": values
    }  # fmt: skip


def _models(cells: Cells, data: str) -> list[str]:
    return [model for model in (*SWITCHES, *FAMILIES) if (data, model) in cells]


def _table(cells: Cells, data: str, columns: dict[str, tuple[str, int, int]]) -> list[str]:
    models = _models(cells, data)
    used = {
        name: column
        for name, column in columns.items()
        if any(_spread(cells[data, model], name) for model in models)
    }
    heads = [heading for heading, _, _ in used.values()]
    rows = ["| model | seeds | " + " | ".join(heads) + " |", "|---" * (len(heads) + 2) + "|"]
    for model in models:
        group = cells[data, model]
        if not any(_spread(group, name) for name in used):
            continue  # only PEP has an inside
        shown = [_shown(_spread(group, name), *used[name][1:]) for name in used]
        rows.append(f"| {TITLES[model]} | {len(group)} | " + " | ".join(shown) + " |")
    return rows


def _shown(spread: dict[str, Any] | None, factor: int, decimals: int) -> str:
    if spread is None:
        return ""
    mean = f"{factor * spread['mean']:.{decimals}f}"
    return mean if spread["sd"] is None else f"{mean} ± {factor * spread['sd']:.{decimals}f}"


def _plot(cells: Cells, data: str, path: Path) -> None:
    """AP, recall of crowded objects and duplicates: a bar for the mean, a dot for each seed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    models = _models(cells, data)
    names = ("AP", "recall_crowded", "recall_alone", "duplicates_per_image")
    figure, axes = plt.subplots(1, len(names), figsize=(11, 3.2), constrained_layout=True)
    for axis, name in zip(axes, names, strict=True):
        heading, factor, _ = MAIN[name]
        for place, model in enumerate(models):
            spread = _spread(cells[data, model], name)
            if spread is not None:
                colour = "#4878a8" if model in SWITCHES else "#b0b0b0"
                axis.bar(place, factor * spread["mean"], color=colour, alpha=0.55)
                values = [factor * value for value in spread["each"]]
                axis.plot([place] * len(values), values, "k.", markersize=5)
        axis.set_title(heading, fontsize=9)
        axis.set_xticks(range(len(models)), [TITLES[m] for m in models], rotation=35, ha="right")
        axis.tick_params(labelsize=8)
    figure.savefig(path, dpi=80)
    plt.close(figure)
