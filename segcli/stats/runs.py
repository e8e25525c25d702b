"""Statistics of a run: its images, failures with their reasons, and speed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segcli import store
from segcli.store.footer import Footer
from segcli.store.part_file import read_footers
from segcli.store.query import Rows

_MOST_PARTS = 2000
"""The maximum number of parts for the speed of runs; reading more footers would take too long."""


def run_table(rows: Rows) -> dict[str, Any]:
    """Images done, empty (no chosen mask) and failed, `static` ones and those of them that are left
    out, because their masks are not known or not wanted, the times that the rows span, and of how
    many images time and camera are from where.

    Needs the views `chosen` and `pictures` and the table `per_image`.
    """
    (row,) = rows.dicts(
        "SELECT count(*) FILTER (status = 'ok') AS done, "
        "count(*) FILTER (status = 'failed') AS failed, "
        "count(*) FILTER (repeats IS NOT NULL) AS static, "
        "count(*) FILTER (status = 'static') AS static_left_out, "
        "min(moment) AS first, max(moment) AS last "
        "FROM images"
    )
    ((with_masks,),) = rows.tuples("SELECT count(DISTINCT image) FROM per_image")
    row["empty"] = row["done"] - with_masks
    row["failures"] = rows.dicts(
        "SELECT CASE WHEN min(error) = max(error) THEN min(error) "
        "ELSE regexp_replace(min(error), $number, 'N', 'g') END AS reason, count(*) AS images, "
        "min(key) AS example FROM images WHERE status = 'failed' "
        "GROUP BY regexp_replace(error, $number, 'N', 'g') ORDER BY 2 DESC, 1",
        {"number": "[0-9][0-9,.]*"},
    )
    for name in ("time_from", "camera_from"):
        row[name] = dict(
            rows.tuples(
                f"SELECT coalesce({name}, 'unknown'), count(*) FROM pictures GROUP BY 1 "
                f"ORDER BY 2 DESC, 1"
            )
        )
    return row


def speeds(masks: Path) -> list[dict[str, Any]]:
    """For each run that made parts: when it started, its images and seconds, images per second.

    In the order of their first chunks; those that do not state it come first, as they started.
    The seconds are those from its first chunk to its last commit, as the parts state them: without
    loading the model, and whatever rewrote the parts later. None for parts that do not state them
    (made by an earlier version, imported, or merged from several runs). Empty when the output has
    too many parts.
    """
    parts = store.part_paths(masks)
    if len(parts) > _MOST_PARTS:
        return []
    runs: dict[tuple[str, str], list[Footer]] = {}
    for footer in read_footers(parts):
        recorded = footer.settings.recorded
        if isinstance(started := recorded.get("started"), str):
            runs.setdefault((started, str(recorded.get("run"))), []).append(footer)
    order = sorted(runs, key=lambda run: (_first_chunk(runs[run]), run))  # `started` is in seconds
    return [_speed(run[0], runs[run]) for run in order]


def _first_chunk(footers: Sequence[Footer]) -> float:
    return min((footer.begun for footer in footers if footer.begun is not None), default=0.0)


def _speed(started: str, footers: Sequence[Footer]) -> dict[str, Any]:
    images = sum(footer.images for footer in footers)
    begun = [footer.begun for footer in footers if footer.begun is not None]
    ended = [footer.ended for footer in footers if footer.ended is not None]
    is_known = len(begun) == len(ended) == len(footers)
    seconds = max(ended) - min(begun) if is_known else 0.0
    known = seconds > 0  # a clock may have been set back
    return {
        "started": started,
        "images": images,
        "seconds": seconds if known else None,
        "images_per_s": images / seconds if known else None,
    }
