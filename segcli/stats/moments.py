"""When and where a row was taken: SQL for its time and its camera, and the groups made of them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from segcli.errors import UsageError
from segcli.query import literal

GROUPS = ("category", "folder", "camera", "hour", "hour-of-day", "day", "weekday")

_FIELDS = {
    "Y": (r"(\d{4})", "year"),
    "m": (r"(\d{2})", "month"),
    "d": (r"(\d{2})", "day"),
    "H": (r"(\d{2})", "hour"),
    "M": (r"(\d{2})", "minute"),
    "S": (r"(\d{2})", "second"),
}
_DEFAULTS = {"year": "1970", "month": "1", "day": "1", "hour": "0", "minute": "0", "second": "0"}
_TOKEN = re.compile(r"%\((camera)\)|%([A-Za-z%])")
_FRAME = r"regexp_replace(key, '#frame=[0-9]+$', '')"


def time_sql(pattern: str | None, column: str | None) -> str:
    """The time of a row (a TIMESTAMP, null when unknown).

    From `column`, else from the key by `pattern`, else the file's time (UTC). The time inside a
    video is added to the file's. Raises UsageError for a pattern that cannot be.
    """
    inside = "to_microseconds((coalesce(time_s, 0) * 1e6)::BIGINT)"
    if column is not None:
        return f"try_cast({_quoted(column)} AS TIMESTAMP)"
    if pattern is None:
        return f"(make_timestamp(mtime_ns // 1000) + {inside})"
    regex, fields = compiled(pattern)
    values = {
        name: f"try_cast(regexp_extract(key, {literal(regex)}, {fields.index(name) + 1}) AS BIGINT)"
        if name in fields
        else default
        for name, default in _DEFAULTS.items()
    }
    made = ", ".join(values.values())
    known = f"regexp_matches(key, {literal(regex)})"
    return f"(CASE WHEN {known} THEN make_timestamp({made}::DOUBLE) + {inside} END)"


def camera_sql(pattern: str | None) -> str:
    """The camera of a row: of the pattern, else the video, else the folder."""
    if pattern is not None and "%(camera)" in pattern:
        regex, fields = compiled(pattern)
        return f"regexp_extract(key, {literal(regex)}, {fields.index('camera') + 1})"
    return f"CASE WHEN frame IS NULL THEN {_folder()} ELSE {_FRAME} END"


def compiled(pattern: str) -> tuple[str, list[str]]:
    """A pattern such as "cam%(camera)_%Y%m%d-%H%M%S" as a regular expression, searched for in the
    key, with the names of its groups. Raises UsageError."""
    regex, fields, at = "", [], 0
    for token in _TOKEN.finditer(pattern):
        regex += re.escape(pattern[at : token.start()])
        at = token.end()
        if token[1]:
            regex += "([^/]+?)"
            fields.append("camera")
        elif token[2] == "%":
            regex += "%"
        elif token[2] in _FIELDS:
            digits, name = _FIELDS[token[2]]
            regex += digits
            fields.append(name)
        else:
            raise UsageError(
                f"--time-pattern {pattern!r}: %{token[2]} is unknown; known are %Y %m %d %H %M %S "
                f"%(camera) and %%"
            )
    regex += re.escape(pattern[at:])
    if not fields or len(set(fields)) < len(fields):
        raise UsageError(
            f"--time-pattern {pattern!r}: expected each of %Y %m %d %H %M %S %(camera) at most "
            f"once, and one of them at least"
        )
    return regex, fields


def group_sql(by: str, columns: Sequence[str], *, time: str, camera: str) -> str:
    """The text of a row's group. `by` is one of GROUPS, or column:NAME, or the name of a column.

    Raises UsageError for any other.
    """
    found = {
        "category": "''",
        "folder": _folder(),
        "camera": camera,
        "hour": f"strftime({time}, '%Y-%m-%d %H:00')",
        "hour-of-day": f"strftime({time}, '%H:00')",
        "day": f"strftime({time}, '%Y-%m-%d')",
        "weekday": f"strftime({time}, '%u %A')",
    }
    name = by.removeprefix("column:").strip()
    if by not in found and name not in columns:
        raise UsageError(
            f"--by {by!r}: expected {', '.join(GROUPS)} or column:NAME with one of the columns: "
            f"{', '.join(columns)}"
        )
    sql = found.get(by) or f"CAST({_quoted(name)} AS VARCHAR)"
    return f"coalesce({sql}, 'unknown')"


def _folder() -> str:
    return f"regexp_extract({_FRAME}, '^(.*)/[^/]*$', 1)"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
