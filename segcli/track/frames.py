"""The images of an output that are not tracked yet: camera by camera, in the order of time.

A *sequence* is what one tracker sees: the images of one camera. Where no time is known (the time of
a file is none, because copies change it), each clip is a sequence by itself, and stills follow one
another in the order of their keys, a second apart.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from segcli.stats.moments import TIME_S, moments_of, refuse_useless_pattern
from segcli.store.query import Rows
from segcli.time_patterns import recognised
from segcli.types import Size

Position = tuple[int, str, int]
"""Where an image stands in its sequence: when its clip began (us since 1970), file, frame."""

_FILE = "regexp_replace(key, '#frame=[0-9]+$', '')"
_INSIDE = f"coalesce({TIME_S}, frame / 25.0, 0)"  # s from the start of the clip


@dataclass(frozen=True, slots=True)
class Frame:
    """An image to be tracked. `time` is in s since 1970, or since the start of its clip, or None.

    `part` is the number of its part. `repeats` is the key of the frame that it repeats.
    """

    sequence: str
    position: Position
    time: float | None
    key: str
    part: int
    size: Size
    repeats: str | None


def time_pattern(rows: Rows, column: str | None) -> str | None:
    """The pattern of times that the names of the images have, None where something else states when
    they were taken or the names have none."""
    if column is not None or "src_taken" in rows.types:
        return None
    keys = rows.tuples("SELECT DISTINCT key FROM rows ORDER BY md5(key) LIMIT 50")
    return recognised([key for (key,) in keys], clock=True) if keys else None


def check_times(rows: Rows, out: Path, pattern: str | None, column: str | None) -> None:
    """Raises UsageError for a pattern or a column that cannot be, or that fits no name."""
    found = moments_of(rows.types, pattern=pattern, column=column, exif=False)
    if pattern is not None:
        rows.execute(
            f"CREATE VIEW images AS SELECT key, {found.time_from} AS time_from, "
            f"{found.camera_from} AS camera_from FROM rows WHERE mask IS NULL OR mask = 0"
        )
        refuse_useless_pattern(pattern, out, rows)


def list_frames(
    rows: Rows, ended: Mapping[str, Position], *, pattern: str | None, column: str | None
) -> None:
    """Make the table `listed` of all images in sequences; `is_new` where they follow `ended`, which
    is where each sequence ended. Raises UsageError for a pattern or a column that cannot be."""
    found = moments_of(rows.types, pattern=pattern, column=column, exif=False)
    rows.table(
        "ended",
        {"sequence": "VARCHAR", "start": "BIGINT", "file": "VARCHAR", "number": "BIGINT"},
        [(sequence, *position) for sequence, position in ended.items()],
    )
    rows.execute(
        f"""
        CREATE TABLE listed AS
        WITH images AS (
            SELECT key, part, height, width, repeats, frame, {_INSIDE} AS inside,
                {_FILE} AS file, {found.camera} AS camera,
                coalesce({found.time_from}, 'files') <> 'files' AS known,
                epoch_us({found.time}) - (coalesce({TIME_S}, 0) * 1e6)::BIGINT AS began
            FROM rows WHERE (mask IS NULL OR mask = 0) AND status <> 'failed'
        ), placed AS (
            SELECT CASE WHEN known OR frame IS NULL THEN camera ELSE file END AS sequence,
                CASE WHEN known THEN began ELSE 0 END AS start, file,
                coalesce(frame, -1) AS number,
                CASE WHEN known THEN began / 1e6 + inside WHEN frame IS NOT NULL THEN inside END
                AS time, key, part, height, width, repeats
            FROM images
        )
        SELECT placed.*, ended.sequence IS NULL OR (placed.start, placed.file, placed.number)
            > (ended.start, ended.file, ended.number) AS is_new
        FROM placed LEFT JOIN ended USING (sequence)
        """
    )


def count_earlier(rows: Rows) -> dict[int, int]:
    """The number of images in each part that are not new; parts without any are left out."""
    return dict(rows.tuples("SELECT part, count(*) FROM listed WHERE NOT is_new GROUP BY 1"))


def count_earlier_of(rows: Rows, keys: Collection[str]) -> int:
    """How many of these images are there and are not new."""
    rows.table("asked", {"key": "VARCHAR"}, [(key,) for key in keys])
    ((count,),) = rows.tuples(
        "SELECT count(*) FROM listed SEMI JOIN asked USING (key) WHERE NOT is_new"
    )
    return int(count)


def count_timeless(rows: Rows) -> int:
    """The number of new clips that nothing states the time of."""
    ((count,),) = rows.tuples(
        "SELECT count(DISTINCT file) FROM listed WHERE is_new AND start = 0 AND number >= 0"
    )
    return int(count)


def new_frames(rows: Rows) -> Iterator[Frame]:
    """The new images, each sequence in its order: day by day, so that few parts are read at once.

    Clips of one camera follow one another by their starts, because clocks in names are coarse.
    """
    day = 86_400 * 1_000_000
    for row in rows.stream(
        f"SELECT * FROM listed WHERE is_new ORDER BY start // {day}, sequence, start, file, number"
    ):
        yield Frame(
            sequence=row["sequence"],
            position=(row["start"], row["file"], row["number"]),
            time=row["time"],
            key=row["key"],
            part=row["part"],
            size=(row["height"], row["width"]),
            repeats=row["repeats"],
        )


def parts_of(rows: Rows, keys: Collection[str]) -> dict[str, int]:
    """The number of the part of each of these images that has rows."""
    found = rows.tuples(
        "SELECT key, part FROM listed WHERE list_contains($keys, key)", {"keys": list(keys)}
    )
    return dict(found) if keys else {}
