"""SQL for the time and the camera of a row."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segcli.cameras import camera_sql, folder_sql
from segcli.errors import UsageError
from segcli.store.query import Rows, literal
from segcli.time_patterns import compiled, recognised, states_camera

_DEFAULTS = {"year": "1970", "month": "1", "day": "1", "hour": "0", "minute": "0", "second": "0"}
_EXIF = "'%Y:%m:%d %H:%M:%S'"
TIME_S = "(CASE WHEN abs(time_s) < 1e9 THEN time_s END)"
"""SQL for the time of a frame in its video, s; null if damage has made it 31 years or more."""

UNKNOWN = "unknown"
"""The camera of an image that a pattern for cameras does not fit."""


@dataclass(frozen=True, slots=True)
class Moments:
    """SQL over the rows: `time` (a TIMESTAMP, null when unknown) and `camera` (UNKNOWN then), and
    where each of them is from (a text, null when it is unknown)."""

    time: str
    time_from: str
    camera: str
    camera_from: str


def moments_of(
    types: Mapping[str, str], *, pattern: str | None, column: str | None, exif: bool
) -> Moments:
    """The best that is known of a row, in this order.

    Time: `column`; the key by `pattern`; EXIF; the file's time (UTC). For a frame, its time in the
    video is added. Camera: the pattern; EXIF; the folder or clip (segcli.cameras). EXIF stands in
    the columns exif_taken and exif_camera where `exif`, else in src_taken and src_camera, as
    a manifest's columns are called in the output. Raises UsageError for a pattern or column that
    cannot be.
    """
    time, time_from = _time(types, pattern, column, exif)
    camera, camera_from = _camera(types, pattern, exif)
    return Moments(time, time_from, camera, camera_from)


def _time(
    types: Mapping[str, str], pattern: str | None, column: str | None, exif: bool
) -> tuple[str, str]:
    inside = f"to_microseconds((coalesce({TIME_S}, 0) * 1e6)::BIGINT)"
    if column is not None:
        if column not in types:
            raise UsageError(f"--time-column {column!r}: the columns are {', '.join(types)}")
        value = _as_time(column, types[column])
        if value is None:
            raise UsageError(
                f"--time-column {column!r} is {types[column]}; expected a time, a text such as "
                f"2026-11-18 11:06:40, or seconds since 1970"
            )
        return _choice([(value, inside, f"column {column}")])
    if pattern is not None and {*compiled(pattern)[1]} != {"camera"}:
        return _choice([(_of_pattern(pattern), inside, "names")])
    file = ("make_timestamp(mtime_ns // 1000)", inside, "files")
    if exif:
        return _choice([(_as_time("exif_taken", "VARCHAR") or "", inside, "EXIF"), file])
    value = _as_time("src_taken", types.get("src_taken", ""))
    return _choice([file] if value is None else [(value, inside, "src_taken"), file])


def _choice(options: Sequence[tuple[str, str, str]]) -> tuple[str, str]:
    """The first (time, what is added, where it is from) that is known, and where it is from."""
    # Python's years are 1 to 9999. Seconds that are milliseconds in truth state no time.
    times = [
        (f"(CASE WHEN year({time} + {inside}) BETWEEN 1 AND 9999 THEN {time} + {inside} END)", name)
        for time, inside, name in options
    ]
    names = " ".join(f"WHEN {time} IS NOT NULL THEN {literal(name)}" for time, name in times)
    return f"coalesce({', '.join(time for time, _ in times)})", f"CASE {names} END"


def _as_time(column: str, kind: str) -> str | None:
    """A column of that type as a TIMESTAMP; None where that is not possible."""
    name = quoted(column)
    if kind == "VARCHAR":  # EXIF writes colons in the date
        return f"coalesce(try_strptime(trim({name}), {_EXIF}), try_cast({name} AS TIMESTAMP))"
    if kind.startswith("TIMESTAMP") or kind == "DATE":
        return f"try_cast({name} AS TIMESTAMP)"
    if kind.endswith("INT") or kind in ("INTEGER", "FLOAT", "DOUBLE"):
        return f"make_timestamp(try_cast({name} * 1e6 AS BIGINT))"
    return None


def _of_pattern(pattern: str) -> str:
    regex, fields = compiled(pattern)

    def number(name: str) -> str:
        group = fields.index(name) + 1
        return f"try_cast(regexp_extract(key, {literal(regex)}, {group}) AS BIGINT)"

    if "epoch" in fields:
        return f"make_timestamp({number('epoch')} * 1000000)"
    values = {name: number(name) if name in fields else n for name, n in _DEFAULTS.items()}
    if "short_year" in fields:
        values["year"] = f"(2000 + {number('short_year')})"
    digits = {"year": 4, "month": 2, "day": 2, "hour": 2, "minute": 2}
    padded = [f"lpad(({values[name]})::VARCHAR, {n}, '0')" for name, n in digits.items()]
    date, clock = " || '-' || ".join(padded[:3]), " || ':' || ".join(padded[3:])
    # As a text: a day such as the 31st of February is unknown then, and ends nothing.
    made = (
        f"try_cast({date} || ' ' || {clock} || ':' || ({values['second']})::VARCHAR AS TIMESTAMP)"
    )
    return f"(CASE WHEN regexp_matches(key, {literal(regex)}) THEN {made} END)"


def _camera(types: Mapping[str, str], pattern: str | None, exif: bool) -> tuple[str, str]:
    if pattern is not None and states_camera(pattern):
        regex, fields = compiled(pattern)
        found = f"nullif(regexp_extract(key, {literal(regex)}, {fields.index('camera') + 1}), '')"
        place_from = f"CASE WHEN {found} IS NOT NULL THEN 'names' END"
        return f"coalesce({found}, {literal(UNKNOWN)})", place_from
    place = camera_sql()
    # A clip that is in no folder of a camera states the camera in its name.
    named = f"frame IS NOT NULL AND ({folder_sql()} = '')"
    place_from = f"CASE WHEN {named} THEN 'videos' ELSE 'folders' END"
    name, said = ("exif_camera", "EXIF") if exif else ("src_camera", "src_camera")
    if not exif and name not in types:
        return place, place_from
    known = f"nullif(trim(CAST({name} AS VARCHAR)), '')"
    return (
        camera_sql(name),
        f"CASE WHEN {known} IS NOT NULL THEN {literal(said)} ELSE {place_from} END",
    )


def sampled_keys(rows: Rows) -> list[str]:
    """About 50 keys of the view `images`, from everywhere, the same ones every time."""
    return [key for (key,) in rows.tuples("SELECT key FROM images ORDER BY md5(key) LIMIT 50")]


def refuse_useless_pattern(pattern: str, out: Path, rows: Rows) -> None:
    """Raises UsageError when the pattern fits no name. Needs the view `images` with `key`,
    `time_from` and `camera_from`."""
    keys = sampled_keys(rows)
    ((fitting,),) = rows.tuples(
        "SELECT count(*) FROM images WHERE time_from = 'names' OR camera_from = 'names'"
    )
    if fitting or not keys:
        return
    found = recognised(keys, clock=True) or recognised(keys, clock=False)
    proposal = "" if found is None else f"; --time-pattern {shlex.quote(found)} fits"
    raise UsageError(
        f"--time-pattern {pattern!r} gives no image of {out} a time or a camera; a key of it is "
        f"{keys[0]!r}{proposal}"
    )


def quoted(name: str) -> str:
    """A column as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'
