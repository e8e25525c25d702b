"""One row per object that `segcli track` has followed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segcli.errors import UsageError
from segcli.store import part_paths
from segcli.store.part_file import read_footers
from segcli.store.query import Rows

GROUP = "track"


def is_asked(parts: Sequence[str]) -> bool:
    """Whether the groups are tracks. Raises UsageError if they are among others."""
    if GROUP not in parts:
        return False
    if len(parts) > 1:
        raise UsageError("--by track: a track is a group by itself; leave out the others")
    return True


def make_view(rows: Rows, masks: Path, select: str, condition: str) -> None:
    """Make the view `track_masks`. Raises UsageError where no mask is in a track."""
    if "track_id" not in rows.columns or not rows.tuples(
        "SELECT 1 FROM rows WHERE track_id IS NOT NULL LIMIT 1"
    ):
        raise UsageError(f"--by track: {_without_tracks(masks)}")
    rows.execute(f"CREATE VIEW track_masks AS {select} WHERE {condition} AND track_id IS NOT NULL")


def _without_tracks(masks: Path) -> str:
    ends = (footer.tracking for footer in read_footers(part_paths(masks)))
    state = next((end for end in ends if end is not None), None)
    if state is None:
        return f"{masks} has no tracks; make them with segcli track {masks}"
    return (
        f"{masks} was tracked, and no object was seen in {state['min_frames']} frames "
        f"(`min_frames`) with at most {state['max_gap']:g}s (`max_gap`) between two of them; try a "
        f"larger `max_gap` with `restart`"
    )


def track_table(rows: Rows) -> list[dict[str, Any]]:
    """One mapping per track, in the order of their numbers. Needs the view `track_masks`.

    `first` and `last` are the times of the frames that show it first and last, `seconds` is the
    time between them, and `frames` counts those with a mask of it.
    """
    return rows.dicts(_TRACKS)


_TRACKS = """
SELECT track_id AS track, any_value(camera) AS camera, mode(category) AS category,
  mode(category_id) AS category_id, min(moment) AS first, max(moment) AS last,
  (epoch_us(max(moment)) - epoch_us(min(moment))) / 1e6 AS seconds, count(*) AS frames,
  median(score) AS score_p50, median(area) AS area_p50
FROM track_masks GROUP BY track_id ORDER BY track_id"""
