"""When a video was recorded: stated by a JSON file with its name, or by its container."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segcli.video.timeline import Timeline

COLUMN = "taken"
"""What a manifest calls the time of an image, and `segcli stats` reads; in an output src_taken."""

_MOST_BYTES = 1 << 20
_FIRST_YEAR = 1900  # Go's programs write 0001-01-01 for a time that is not set


def columns() -> dict[str, Any]:
    """The column that frames of videos add: name -> Arrow type."""
    import pyarrow as pa

    return {COLUMN: pa.string()}


def taken(path: str | None, timeline: Timeline) -> str | None:
    """The time at which the clock of the video was 0, as text: the time of a frame is this plus its
    `time_s`. None if nothing states it.

    The field `start` of a file clip.mp4.json or clip.json takes precedence over the metadata of the
    container; `path` is None if there can be no such file. Raises ValueError when such a field is
    not a time.
    """
    start = (None if path is None else _stated_start(path)) or timeline.created
    if start is None:
        return None
    return (start - timedelta(seconds=timeline.times[0])).isoformat(" ")


def _stated_start(path: str) -> datetime | None:
    for name in (f"{path}.json", f"{os.path.splitext(path)[0]}.json"):
        try:
            with open(name, "rb") as file:
                value = json.loads(file.read(_MOST_BYTES))
        except (OSError, ValueError, RecursionError):
            continue  # JSON files next to videos have many uses
        if isinstance(value, dict) and "start" in value:
            return _time(value["start"])
    return None


def _time(start: Any) -> datetime:
    """From text such as 2026-11-18T11:06:40, or from seconds since 1970 (UTC). An offset is left
    out and the local time kept, as in EXIF."""
    try:
        if isinstance(start, str):
            found = datetime.fromisoformat(start.strip()).replace(tzinfo=None)
        else:
            found = datetime.fromtimestamp(float(start), UTC).replace(tzinfo=None)
        if not _FIRST_YEAR <= found.year < datetime.max.year:
            raise ValueError
    except (TypeError, ValueError, OverflowError, OSError):
        raise ValueError(f"start {start!r} is not a time") from None
    return found
