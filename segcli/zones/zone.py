"""Zones of a camera's frame, in shares of its width and height."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

from segcli.suggest import did_you_mean

Use = Literal["label", "keep", "drop"]
Measure = Literal["lower edge", "area"]
Path = tuple[tuple[float, float], ...]
"""Points (x, y), shares of the frame: (0, 0) is its upper left corner, (1, 1) its lower right."""

USES: tuple[Use, ...] = ("label", "keep", "drop")
MEASURES: tuple[Measure, ...] = ("lower edge", "area")
LOWER_EDGE = 0.1
"""The lower edge of a mask is the last tenth of its rows."""

SHARE = 0.5
"""The share of the lower edge or of the area from which on a mask stands in a zone."""

ZONES_FILE = "zones_file"
"""Where the settings of a run have the file."""

_GLOB = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Zone:
    """A region (`polygons`, each an outer ring and its holes) or a `line` of at least two points.

    `camera` is the name of a camera, the beginning of keys (whole folders), or a glob for either.
    A mask stands in a region if at least `share` of its `measure` is inside.
    """

    name: str
    polygons: tuple[tuple[Path, ...], ...] = ()
    line: Path = ()
    camera: str = "*"
    use: Use = "label"
    measure: Measure = "lower edge"
    share: float = SHARE

    @property
    def is_line(self) -> bool:
        return bool(self.line)

    def covers(self, key: str, camera: str) -> bool:
        """Whether the zone is one of the image with this key, taken by this camera."""
        return matches(self.camera, key, camera)


@dataclass(frozen=True, slots=True)
class Zones:
    """The zones of a file: its name, the SHA-256 of its bytes, and its content, a GeoJSON
    FeatureCollection."""

    zones: tuple[Zone, ...]
    path: str
    sha256: str
    content: Mapping[str, Any] = field(repr=False, hash=False)

    def of(self, key: str, camera: str) -> tuple[Zone, ...]:
        """Those of an image."""
        return tuple(zone for zone in self.zones if zone.covers(key, camera))

    def facts(self) -> dict[str, Any]:
        """What decides the rows of a run: the file, and the rule for what its properties leave
        open."""
        return {"sha256": self.sha256, "lower_edge": LOWER_EDGE, "share": SHARE}

    def recorded(self) -> dict[str, Any]:
        """The file for the settings of a run, under ZONES_FILE, so that readers know its zones."""
        return {"path": self.path, "sha256": self.sha256, "content": dict(self.content)}

    def without_images(self, images: Iterable[tuple[str, str]]) -> str | None:
        """A sentence on the zones of cameras that none of `images`, (key, camera), is of; None if
        each zone has an image. Reads no further than needed."""
        waiting = list(self.zones)
        cameras: dict[str, None] = {}
        for key, camera in images:
            waiting = [zone for zone in waiting if not zone.covers(key, camera)]
            if not waiting:
                return None
            cameras[camera] = None
        if not cameras:
            return None
        first, known = waiting[0], list(cameras)
        names = ", ".join(map(_shown, sorted(known)[:10])) + (" ..." if len(known) > 10 else "")
        return (
            f"zone {first.name!r} is for camera {first.camera!r}, which has no images here; "
            f"cameras: {names}{did_you_mean(first.camera, known)}"
        )


def _shown(camera: str) -> str:
    return "'.' (images in no folder)" if camera == "." else repr(camera)


def matches(pattern: str, key: str, camera: str) -> bool:
    """Whether a pattern (a camera, the beginning of keys, or a glob) is about this image."""
    if pattern == "*":
        return True
    if is_glob(pattern):
        return fnmatchcase(camera, pattern) or fnmatchcase(key, pattern)
    return camera == pattern or f"{key}/".startswith(pattern.rstrip("/") + "/")


def is_glob(pattern: str) -> bool:
    """Whether the pattern is compared as a glob."""
    return bool(_GLOB & set(pattern))
