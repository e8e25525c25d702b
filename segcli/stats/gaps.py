"""Times without images: rows of their own, because no footage is not zero objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from segcli.store.query import Rows

MOST = 10_000
"""Rows of gaps in a table; times further apart are probably wrong ones."""

_STEPS = {"hour": ("%Y-%m-%d %H:00", timedelta(hours=1)), "day": ("%Y-%m-%d", timedelta(days=1))}


def with_gaps(
    groups: Sequence[Mapping[str, Any]], by: Sequence[str], titles: Sequence[str]
) -> list[dict[str, Any]]:
    """The groups, and a row for each hour or day without images, from the first of a camera (or
    whatever else they are grouped by) to the last of all: 0 images, and None for all that was not
    counted. Unchanged where nothing is grouped by hour or day, or more than MOST rows are missing.
    """
    rows = [dict(row) for row in groups]
    timed = [(i, part) for i, part in enumerate(by) if part in _STEPS]
    if not rows or len(timed) != 1:
        return rows
    ((at, part),) = timed
    pattern, step = _STEPS[part]
    found: dict[tuple[str, ...], dict[datetime, int]] = {}
    for number, row in enumerate(rows):
        names = [str(row[title]) for title in titles]
        if names[at] != "unknown":
            moment = datetime.strptime(names.pop(at), pattern)
            found.setdefault(tuple(names), {})[moment] = number
    if not found:
        return rows
    last = max(moment for moments in found.values() for moment in moments)
    if sum((last - min(moments)) / step + 1 - len(moments) for moments in found.values()) > MOST:
        return rows
    for others, moments in found.items():
        first = min(moments)
        for steps in range((last - first) // step + 1):  # no moment may follow `last`
            moment = first + steps * step
            if moment not in moments:
                names = [*others]
                names.insert(at, moment.strftime(pattern))
                rows.append(_gap(rows[0], dict(zip(titles, names, strict=True))))
    return sorted(rows, key=lambda row: tuple(str(row[title]) for title in titles))


def _gap(like: Mapping[str, Any], group: Mapping[str, str]) -> dict[str, Any]:
    return dict.fromkeys(like) | dict(group) | {"images": 0}


def longest_gap(rows: Rows) -> dict[str, Any] | None:
    """That of the camera that has the longest one, as `gaps_of_cameras`. None without times."""
    return max(gaps_of_cameras(rows), key=lambda row: row["hours"], default=None)


def gaps_of_cameras(rows: Rows) -> list[dict[str, Any]]:
    """For each camera, the longest time in which it has no image, to the minute: `camera`, `begin`,
    `end` and `hours`. Cameras without times have no row.

    It ends with the next image of the camera or, if there is none, with the last image of all.
    Needs the view `pictures`.
    """
    return rows.dicts(
        "WITH minutes AS (SELECT DISTINCT camera, date_trunc('minute', moment) AS moment "
        "FROM pictures WHERE moment IS NOT NULL), "
        "steps AS (SELECT camera, moment AS begin, lead(moment) OVER "
        "(PARTITION BY camera ORDER BY moment) AS following FROM minutes), "
        "spans AS (SELECT camera, begin, coalesce(following, "
        '(SELECT max(moment) FROM minutes)) AS "end" FROM steps) '
        'SELECT *, (epoch("end") - epoch(begin)) / 3600 AS hours FROM spans '
        "QUALIFY row_number() OVER (PARTITION BY camera ORDER BY hours DESC, begin) = 1 "
        "ORDER BY camera"
    )
