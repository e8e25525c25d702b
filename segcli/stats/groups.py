"""The groups of --by: SQL for the group of each row, and the names of the columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from segcli.cameras import folder_sql
from segcli.errors import UsageError
from segcli.stats.moments import Moments, quoted

GROUPS = ("category", "folder", "camera", "hour", "hour-of-day", "day", "weekday", "zone", "track")
TIMED = ("hour", "hour-of-day", "day", "weekday")
ZONE = "\x1e"
"""Stands for the zone in the text of a group, because a mask can be in several (`stats.zones`)."""

_SEPARATOR = "\x1f"  # between the parts of a group's text; written as " / " where people read it
_TAKEN = ("category", "category_id", "images", "images_with", "masks", "per_image")


def parts_of(by: str, columns: Sequence[str]) -> tuple[str, ...]:
    """The groupings in "hour,camera"; ("category",) where there are no groups but the classes.

    `columns` are those of the rows: one whose name has a comma is taken for what it is.
    Raises UsageError for what is neither one of GROUPS nor a column.
    """
    if _column(by) in columns:
        return (by.strip(),)
    parts = dict.fromkeys(part.strip() for part in by.split(","))
    for part in parts:
        if part not in GROUPS and _column(part) not in columns:
            raise UsageError(
                f"--by {part!r}: expected {', '.join(GROUPS)} or column:NAME with one of the "
                f"columns: {', '.join(columns)}; several with commas between them"
            )
    # The rows of a group are per class anyway.
    return tuple(part for part in parts if part != "category") or ("category",)


def titles_of(parts: Sequence[str]) -> tuple[str, ...]:
    """The names of the columns that hold the parts of a group: "group" for one, else their own."""
    if len(parts) == 1:
        return ("group",)
    names = [_column(part) for part in parts]
    return tuple(f"group_{name}" if name in _TAKEN else name for name in names)


def group_sql(parts: Sequence[str], found: Moments) -> str:
    """The text of a row's group, which `split` takes apart."""
    texts = [f"coalesce({_text(part, found)}, 'unknown')" for part in parts]
    if len(texts) == 1:
        return texts[0]
    between = f" || chr({ord(_SEPARATOR)}) || "
    return between.join(f"replace({text}, chr({ord(_SEPARATOR)}), ' ')" for text in texts)


def _text(part: str, found: Moments) -> str:
    groups = {
        "category": "''",
        "zone": f"chr({ord(ZONE)})",
        "track": "''",
        "folder": f"coalesce(nullif({folder_sql()}, ''), '.')",
        "camera": found.camera,
        "hour": f"strftime({found.time}, '%Y-%m-%d %H:00')",
        "hour-of-day": f"strftime({found.time}, '%H:00')",
        "day": f"strftime({found.time}, '%Y-%m-%d')",
        "weekday": f"strftime({found.time}, '%u %A')",
    }
    return groups.get(part) or f"CAST({quoted(_column(part))} AS VARCHAR)"


def split(row: Mapping[str, Any], titles: Sequence[str]) -> dict[str, Any]:
    """A row of SQL with the parts of its "group" in columns of their own, the first ones."""
    parts = parts_of_text(row["group"]) if len(titles) > 1 else (row["group"],)
    rest = {name: value for name, value in row.items() if name != "group"}
    return dict(zip(titles, parts, strict=True)) | rest


def label(row: Mapping[str, Any], titles: Sequence[str]) -> str:
    """The group of a row as people read it: "2026-04-01 / cam1"."""
    return " / ".join(str(row[title]) for title in titles)


def parts_of_text(text: str) -> tuple[str, ...]:
    """The parts of a group's text in SQL."""
    return tuple(text.split(_SEPARATOR))


def _column(part: str) -> str:
    return part.strip().removeprefix("column:").strip()
