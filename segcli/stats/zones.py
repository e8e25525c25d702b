"""Masks by zone, and from tracks: entries, exits and the time that objects stay in a zone.

Everything is SQL over the views of `statistics.prepared`. The place of an object is the middle of
the lower side of its box.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from segcli.errors import UsageError
from segcli.masks import rle
from segcli.stats.groups import ZONE
from segcli.store.query import Rows, literal
from segcli.zones import ZonePass, Zones
from segcli.zones.sql import covers_sql

GROUP = f"replace(grp, chr({ord(ZONE)}), zone)"
"""SQL for the group of a row of `zone_pictures` and `zone_masks`."""

OUTSIDE = "(none)"
"""The group of masks that stand in no zone."""

TRACKED = ("tracks", "entries", "exits", "dwell_p50_s", "dwell_max_s")
"""Columns that need tracks: how many objects were seen in the zone, how often one came in from
outside and went out, and the median and longest time that one was inside, in seconds. A line has
entries (from its left side to its right, seen along its way) and exits."""


def placed(rows: Rows, table: str, zones: Zones, *, camera: str, condition: str) -> str:
    """SQL for the rows of `table` with the zones that their masks stand in, by their outlines, in
    the column `zones`; null for masks that a zone drops.

    `camera` is SQL for the camera of a row; masks that do not meet `condition` are left out.
    Raises UsageError for a zone of a camera that no image is of.
    """
    _check_cameras(rows, table, zones, camera)
    columns = {"image": "BIGINT", "mask": "INTEGER", "zones": "VARCHAR[]"}
    rows.table("zoned", columns, _places(rows, table, zones, camera, condition))
    stored = "* EXCLUDE (zones)" if "zones" in rows.columns else "*"
    return (
        f"(SELECT t.{stored}, zoned.zones AS zones FROM {table} t "
        f"LEFT JOIN zoned ON zoned.image = t.image AND zoned.mask = t.mask)"
    )


def _check_cameras(rows: Rows, table: str, zones: Zones, camera: str) -> None:
    for zone in zones.zones:
        covered = covers_sql(zone.camera, camera)
        if not rows.tuples(f"SELECT 1 FROM {table} WHERE {covered} LIMIT 1"):
            images = rows.tuples(
                f"SELECT any_value(key), {camera} FROM {table} GROUP BY 2 LIMIT 99"
            )
            wrong = zones.without_images((key, str(name)) for key, name in images)
            raise UsageError(f"`zones` {zones.path}: {wrong}")


def _places(
    rows: Rows, table: str, zones: Zones, camera: str, condition: str
) -> Iterator[tuple[int, int, list[str]]]:
    """(image, mask, names) of the masks that no zone drops."""
    standing = ZonePass(zones)
    sql = (
        f"SELECT image, mask, key, height, width, {camera} AS camera, rle FROM {table} "
        f"WHERE mask IS NOT NULL AND {condition}"
    )
    # Rows of one image follow one another, or nearly so: each mask is judged by itself.
    for image, group in groupby(rows.stream(sql), key=itemgetter("image")):
        of_image = list(group)
        first, texts = of_image[0], [bytes(row["rle"]) for row in of_image]
        size = first["height"], first["width"]
        for text in texts:
            rle.check(text, *size)
        found = standing.places(first["key"], str(first["camera"]), size, texts)
        for row, names in zip(of_image, found, strict=True):
            if names is not None:
                yield image, row["mask"], list(names)


def are_known(rows: Rows) -> bool:
    """Whether there are the views of `make_views`."""
    return _has_table(rows, "zone_masks")


def _has_table(rows: Rows, name: str) -> bool:
    named = f"table_name = {literal(name)}"
    return bool(rows.tuples(f"SELECT 1 FROM information_schema.tables WHERE {named}"))


def make_views(rows: Rows, zones: Zones | None) -> bool:
    """Makes `zone_pictures` and `zone_masks`: `pictures` and `chosen` once for each zone, with the
    column `zone`. False, and nothing is made, where no zones are known.

    With tracks, it makes `passages`, too: a row for each mask of a track and each zone that it is
    in, or line that it has just crossed.
    """
    conditions: dict[str, list[str]] = {}
    if zones is not None:
        for zone in zones.zones:
            conditions.setdefault(zone.name, []).append(covers_sql(zone.camera, "camera"))
    elif "zones" in rows.columns:
        found = rows.tuples("SELECT DISTINCT unnest(zones) AS z FROM chosen ORDER BY z")
        conditions = {name: ["true"] for (name,) in found}
    if not conditions:
        return False
    if rows.tuples("SELECT 1 FROM chosen WHERE len(coalesce(zones, [])) = 0 LIMIT 1"):
        conditions[OUTSIDE] = ["true"]
    rows.table("zone_names", {"n": "INTEGER", "zone": "VARCHAR"}, enumerate(conditions))
    covered = " ".join(
        f"WHEN {n} THEN ({' OR '.join(terms)})" for n, terms in enumerate(conditions.values())
    )
    rows.execute(
        f"CREATE VIEW zone_pictures AS SELECT p.*, z.zone FROM pictures p JOIN zone_names z "
        f"ON CASE z.n {covered} END"
    )
    crossed = ""
    if _has_tracks(rows):
        _make_passages(rows, zones)
        crossed = (
            " UNION ALL SELECT c.*, p.zone FROM chosen c JOIN passages p "
            "ON p.image = c.image AND p.mask = c.mask WHERE p.is_line"
        )
    rows.execute(
        f"CREATE VIEW zone_masks AS SELECT *, unnest(CASE WHEN len(coalesce(zones, [])) = 0 "
        f"THEN [{literal(OUTSIDE)}] ELSE zones END) AS zone FROM chosen{crossed}"
    )
    return True


def _has_tracks(rows: Rows) -> bool:
    if "track_id" not in rows.columns:
        return False
    return bool(rows.tuples("SELECT 1 FROM chosen WHERE track_id IS NOT NULL LIMIT 1"))


def _make_passages(rows: Rows, zones: Zones | None) -> None:
    rows.execute(_TRACKED)
    lines = [zone for zone in (zones.zones if zones is not None else ()) if zone.is_line]
    kinds = dict.fromkeys(("x0", "y0", "x1", "y1"), "DOUBLE")
    rows.table(
        "sides",
        {"n": "INTEGER", "zone": "VARCHAR", **kinds},
        (
            (n, line.name, *start, *end)
            for n, line in enumerate(lines)
            for start, end in zip(line.line, line.line[1:], strict=False)
        ),
    )
    covered = " ".join(
        f"WHEN {n} THEN {covers_sql(line.camera, 't.camera', key='t.key')}"
        for n, line in enumerate(lines)
    )
    covered = f"CASE s.n {covered} END" if lines else "false"
    rows.execute(_PASSAGES.format(covered=covered))


_TRACKED = """
CREATE TABLE tracked AS SELECT *, lag(image) OVER w IS NOT NULL AS has_before,
  lag(x) OVER w AS x_before, lag(y) OVER w AS y_before, lag(zones) OVER w AS zones_before,
  lead(image) OVER w IS NOT NULL AS has_after, lead(zones) OVER w AS zones_after,
  epoch(lead(moment) OVER w) - epoch(moment) AS seconds
FROM (SELECT image, mask, key, frame, camera, track_id, zones, moment,
  (bbox.x + bbox.w / 2) / width AS x, (bbox.y + bbox.h) / height AS y
  FROM chosen WHERE track_id IS NOT NULL)
WINDOW w AS (PARTITION BY camera, track_id ORDER BY moment, frame, image)"""

# An object crosses a side from (x0, y0) to (x1, y1) if it changes its side of that straight line
# and the ends of the side are on different sides of the object's way. Each end belongs to one of
# two sides that meet there, so that nothing crosses both or neither.
_PASSAGES = """
CREATE TABLE passages AS
SELECT image, mask, camera, track_id, zone, false AS is_line,
  (has_before AND NOT coalesce(list_contains(zones_before, zone), false))::INTEGER AS entries,
  (has_after AND NOT coalesce(list_contains(zones_after, zone), false))::INTEGER AS exits,
  CASE WHEN list_contains(zones_after, zone) THEN seconds WHEN moment IS NOT NULL THEN 0 END
    AS seconds
FROM (SELECT *, unnest(zones) AS zone FROM tracked)
UNION ALL
SELECT image, mask, camera, track_id, zone, true AS is_line,
  count(*) FILTER (now > 0) AS entries, count(*) FILTER (now <= 0) AS exits, NULL AS seconds
FROM (SELECT t.image, t.mask, t.camera, t.track_id, s.zone,
    (x1 - x0) * (y_before - y0) - (y1 - y0) * (x_before - x0) AS before,
    (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0) AS now,
    (x - x_before) * (y0 - y_before) - (y - y_before) * (x0 - x_before) AS first,
    (x - x_before) * (y1 - y_before) - (y - y_before) * (x1 - x_before) AS last
  FROM tracked t JOIN sides s ON {covered} WHERE t.has_before)
WHERE (before > 0) <> (now > 0) AND (first > 0) <> (last > 0)
GROUP BY ALL"""


def add_passages(
    rows: Rows, table: Sequence[dict[str, Any]], titles: Sequence[str], group: str
) -> list[dict[str, Any]]:
    """The rows of a table of groups by zone with the columns TRACKED, where there are tracks.

    `group` is SQL for the group over the columns of `zone_masks`.
    """
    if not _has_table(rows, "passages"):
        return list(table)
    found = {
        (row.pop("grp"), row.pop("category_id")): row
        for row in rows.dicts(_PASSED.format(group=group))
    }
    unknown: dict[str, Any] = dict.fromkeys(TRACKED)
    nothing = unknown | {"tracks": 0, "entries": 0, "exits": 0}
    return [
        row
        | unknown
        | found.get(_key(row, titles), unknown if _is_outside(row, titles) else nothing)
        for row in table
    ]


def _is_outside(row: Mapping[str, Any], titles: Sequence[str]) -> bool:
    """Objects outside all zones are not counted as objects."""
    return any(row[title] == OUTSIDE for title in titles)


def _key(row: Mapping[str, Any], titles: Sequence[str]) -> tuple[str, int]:
    return "\x1f".join(row[title] for title in titles), row["category_id"]


_PASSED = """
SELECT grp, category_id, count(*) AS tracks, sum(entries)::BIGINT AS entries,
  sum(exits)::BIGINT AS exits, median(seconds) AS dwell_p50_s, max(seconds) AS dwell_max_s
FROM (SELECT {group} AS grp, category_id, p.camera, p.track_id, sum(p.entries) AS entries,
    sum(p.exits) AS exits, sum(p.seconds) AS seconds
  FROM passages p JOIN chosen c ON p.image = c.image AND p.mask = c.mask GROUP BY ALL)
GROUP BY grp, category_id"""
