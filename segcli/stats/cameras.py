"""A row per camera for alert rules: its last image, its longest gap, and what happened to it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from segcli.stats.gaps import gaps_of_cameras
from segcli.stats.health import camera_events
from segcli.store.query import Rows

IN_HOURS = ("frozen", "covered", "fog", "blurred")
COUNTED = ("moved", "light")
METRICS = ("age", "gap", *IN_HOURS, *COUNTED)
"""What a rule on a camera can be about."""


def needs_views(metric: str) -> bool:
    """Whether it comes from the column `view`."""
    return metric not in ("age", "gap")


def camera_table(rows: Rows, now: datetime | None = None) -> list[dict[str, Any]]:
    """One mapping per camera whose images have times, in the order of their names.

    `images`; `age`, the hours from its last image until `now` (with a time zone; None: the present
    time); `gap`, the hours of the longest time without images; the hours of the longest event of
    each kind in IN_HOURS, and the number of events of each kind in COUNTED, which are None where no
    image has a view. The times of files are UTC, all others are in the machine's time zone. For
    `age`, images from the future, of a clock that was wrong, count only if a camera has no others.
    Needs the view `pictures`.
    """
    now = datetime.now(UTC) if now is None else now
    ages = rows.dicts(
        "SELECT camera, count(*) AS images, coalesce(min(age) FILTER (age >= 0), max(age)) AS age "
        "FROM (SELECT camera, (epoch(CASE WHEN time_from = 'files' "
        "THEN $utc::TIMESTAMP ELSE $local::TIMESTAMP END) - epoch(moment)) / 3600 AS age "
        "FROM pictures WHERE moment IS NOT NULL) GROUP BY camera ORDER BY camera",
        {
            "utc": now.astimezone(UTC).replace(tzinfo=None).isoformat(" "),
            "local": now.astimezone().replace(tzinfo=None).isoformat(" "),
        },
    )
    gaps = {row["camera"]: row["hours"] for row in gaps_of_cameras(rows)}
    seen = _views(rows)
    table = {
        row["camera"]: row
        | {"gap": gaps[row["camera"]]}
        | {kind: 0.0 if row["camera"] in seen else None for kind in IN_HOURS}
        | {kind: 0 if row["camera"] in seen else None for kind in COUNTED}
        for row in ages
    }
    for event in camera_events(rows):
        row = table[event.camera]
        if event.kind in IN_HOURS:
            hours = (event.end - event.begin).total_seconds() / 3600
            row[event.kind] = max(row[event.kind], hours)
        elif event.kind in COUNTED:
            row[event.kind] += 1
    return list(table.values())


def _views(rows: Rows) -> set[str]:
    """The cameras of which an image has a view."""
    if "view" not in rows.types:
        return set()
    found = rows.tuples("SELECT DISTINCT camera FROM pictures WHERE view IS NOT NULL")
    return {camera for (camera,) in found}
