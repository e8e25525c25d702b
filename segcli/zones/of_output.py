"""The zones with which an existing output is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from segcli.cameras import COLUMN, camera_of
from segcli.errors import UsageError
from segcli.store import peek_carried, read_images, read_settings
from segcli.store.schema import CARRIED_PREFIX
from segcli.zones.geojson import read_zones, recorded_zones
from segcli.zones.standing import ZonePass


def zones_of_output(masks: Path, file: Path | None) -> ZonePass | None:
    """The zones of `file`, else those of the run that made the output `masks`; None without any.

    Raises UsageError for a file with an error, and for a zone of a camera that no image is of.
    """
    zones = recorded_zones(read_settings(masks)) if file is None else read_zones(file)
    if zones is None:
        return None
    stated = _stated(masks)
    if file is not None:
        keys = (key for (key,) in _images(masks, "key"))
        wrong = zones.without_images((key, camera_of(key, stated.get(key))) for key in keys)
        if wrong is not None:
            raise UsageError(f"`zones` {file}: {wrong}")
    return ZonePass(zones, stated)


def _stated(masks: Path) -> dict[str, str]:
    """The cameras that a manifest has stated, by key."""
    if COLUMN not in (peek_carried(masks) or ()):
        return {}
    pairs = _images(masks, "key", CARRIED_PREFIX + COLUMN)
    return {key: str(camera) for key, camera in pairs if camera is not None}


def _images(masks: Path, *columns: str) -> Iterator[tuple[Any, ...]]:
    for batch in read_images(masks, columns=columns):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
