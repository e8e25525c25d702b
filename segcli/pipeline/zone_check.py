"""Checks that the zones of a run are of cameras that it has."""

from __future__ import annotations

from segcli.cameras import COLUMN, camera_of
from segcli.errors import UsageError
from segcli.pipeline.options import PredictOptions
from segcli.sources import Source
from segcli.store import peek
from segcli.zones import Zones


def check_cameras(options: PredictOptions, zones: Zones | None, source: Source) -> list[str]:
    """Raises UsageError if no image is of the camera of a zone, so that a misspelt camera does not
    end in a run without its zone; a note instead, where options leave out some of the images.

    Reads keys until each zone has an image. Only the first run of an output does this: later ones
    have the same zones, and a camera may have no files on some day.
    """
    if zones is None or peek(options.out) is not None:
        return []
    wrong = zones.without_images(
        (sample.key, camera_of(sample.key, _stated(sample.carried.get(COLUMN))))
        for sample in source
    )
    if wrong is None:
        return []
    narrowed = (
        options.include or options.exclude or options.newer_than or options.older_than
    ) or options.shard is not None
    if not narrowed:
        raise UsageError(f"`zones` {zones.path}: {wrong}")
    return [f"{zones.path}: {wrong}"]


def _stated(camera: object) -> str | None:
    return None if camera is None else str(camera)
