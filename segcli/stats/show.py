"""Statistics as text for machines and documents: JSON, CSV, Markdown, Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from segcli.stats.classes import AREA_BINS_PER_TENFOLD, GRID, SCORE_BINS
from segcli.stats.drift import Drift
from segcli.stats.statistics import Statistics

_READ = (
    "category",
    "images",
    "images_with",
    "masks",
    "per_image",
    "per_image_max",
    "score_p50",
    "area_p50",
    "share_p50",
    "small_share",
    "medium_share",
    "large_share",
    "border_share",
)
SCHEMA = 2
"""Of the JSON; raised when a name in it changes its meaning."""


def table_of(found: Statistics) -> list[dict[str, Any]]:
    """The table that was asked for: of groups or tracks when there are any, else of classes."""
    if found.by == ("track",):
        return found.tracks
    return found.groups or found.classes


def as_json(found: Statistics, drift: Drift | None = None) -> str:
    """Everything, for programs; times are ISO 8601."""
    names = {row["category_id"]: row["category"] for row in found.classes}
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "masks": str(found.masks),
        "min_score": found.min_score.lowest,
        "min_scores": dict(found.min_score.own) or None,
        "run": found.run,
        "classes": found.classes,
        "by": list(found.by),
        "groups": found.groups,
        "tracks": found.tracks,
        "cameras": found.cameras,
        "together": [
            {"categories": [names[a], names[b]], "images": n}
            for (a, b), n in found.together.items()
        ],
        "bins": {
            "grid": GRID,
            "score_bins": SCORE_BINS,
            "area_bins_per_tenfold": AREA_BINS_PER_TENFOLD,
            "classes": {names[number]: bins for number, bins in found.bins.items()},
        },
    }
    if drift is not None:
        content["drift"] = {
            "before": str(drift.before.masks),
            "classes": drift.classes,
            "sentences": drift.sentences,
        }
    return json.dumps(content, indent=2, ensure_ascii=False, default=_plain)


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def as_csv(table: Sequence[Mapping[str, Any]]) -> str:
    out = io.StringIO()
    if table:
        writer = csv.DictWriter(out, list(table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    return out.getvalue()


def as_markdown(table: Sequence[Mapping[str, Any]]) -> str:
    """A table of GitHub's Markdown, numbers to four digits; of classes only what people read."""
    if not table:
        return ""
    names = [name for name in table[0] if "score_p05" not in table[0] or name in _READ]
    lines = ["| " + " | ".join(names) + " |"]
    lines.append("|" + "|".join(" ---: " if _number(table[0][n]) else " --- " for n in names) + "|")
    lines += ["| " + " | ".join(cell(row[n]) for n in names) + " |" for row in table]
    return "\n".join(lines) + "\n"


def cell(value: object) -> str:
    """A value as people read it, safe inside a Markdown table."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
    return str(value).replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


def _number(value: object) -> bool:
    return isinstance(value, int | float)
