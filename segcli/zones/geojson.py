"""Reads zones from GeoJSON and checks them, before anything runs."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any

from segcli.errors import UsageError
from segcli.suggest import did_you_mean
from segcli.zones.polygon import crossing, is_flat
from segcli.zones.zone import MEASURES, SHARE, USES, ZONES_FILE, Path, Zone, Zones

UNITS = ("px", "share")
_PROPERTIES = ("name", "camera", "units", "frame", "use", "measure", "share")
_GEOMETRIES = ("Polygon", "MultiPolygon", "LineString")
_MOST_POINTS = 1000  # of one zone: its sides are compared with one another
_LONGEST_NAME = 200


class _Wrong(Exception):
    """What is wrong with a feature."""


def read_zones(path: FilePath) -> Zones:
    """The zones of a GeoJSON file. Raises UsageError that names the feature and what is wrong."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"`zones` {path}: {error.strerror or error}") from None
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"`zones` {path} is not JSON: {error}") from None
    return Zones(_parsed(content, str(path)), str(path), hashlib.sha256(data).hexdigest(), content)


def parse_zones(content: object, *, named: str, sha256: str = "") -> Zones:
    """The same from JSON that has been read; messages call it `named`."""
    zones = _parsed(content, named)
    assert isinstance(content, Mapping)
    return Zones(zones, named, sha256, content)


def recorded_zones(settings: Mapping[str, Any]) -> Zones | None:
    """The zones of the run that made an output, from its settings; None if it had none."""
    file = settings.get(ZONES_FILE)
    if not isinstance(file, Mapping):
        return None
    return parse_zones(file["content"], named=file["path"], sha256=file["sha256"])


def _parsed(content: object, named: str) -> tuple[Zone, ...]:
    features = content.get("features") if isinstance(content, Mapping) else None
    if (
        not isinstance(content, Mapping)
        or content.get("type") != "FeatureCollection"
        or not isinstance(features, list)
    ):
        raise UsageError(
            f"`zones` {named} is not a GeoJSON FeatureCollection; expected "
            f'{{"type": "FeatureCollection", "features": [...]}}, as `segcli zones IMAGE` saves it'
        )
    if not features:
        raise UsageError(f"`zones` {named} has no features: draw a zone with `segcli zones IMAGE`")
    zones: list[Zone] = []
    known: dict[tuple[str, str], int] = {}
    for number, feature in enumerate(features, 1):
        try:
            zone = _zone(feature)
            before = known.setdefault((zone.name, zone.camera), number)
            if before != number:
                raise _Wrong(
                    f"feature {before} has the same name and camera; zones of one camera need "
                    f"different names (or join them as a MultiPolygon)"
                )
        except _Wrong as error:
            raise UsageError(
                f"`zones` {named}, feature {number}{_named(feature)}: {error}"
            ) from None
        zones.append(zone)
    return tuple(zones)


def _named(feature: object) -> str:
    properties = feature.get("properties") if isinstance(feature, Mapping) else None
    name = properties.get("name") if isinstance(properties, Mapping) else None
    return f" ({name!r})" if isinstance(name, str) else ""


def _zone(feature: object) -> Zone:
    if not isinstance(feature, Mapping) or feature.get("type") != "Feature":
        raise _Wrong('expected an object with "type": "Feature"')
    properties, geometry = feature.get("properties"), feature.get("geometry")
    if not isinstance(properties, Mapping):
        raise _Wrong('it has no "properties"; expected name and units, and perhaps camera and use')
    if not isinstance(geometry, Mapping) or geometry.get("type") not in _GEOMETRIES:
        kind = geometry.get("type") if isinstance(geometry, Mapping) else None
        raise _Wrong(f"its geometry is {kind!r}; expected one of {', '.join(_GEOMETRIES)}")
    _refuse_unknown(properties)
    name, camera = _text(properties, "name"), _text(properties, "camera", "*")
    use, measure = _choice(properties, "use", USES), _choice(properties, "measure", MEASURES)
    is_line = geometry["type"] == "LineString"
    if is_line and use != "label":
        raise _Wrong(
            f'"use" is {use!r}, and no mask is inside a line; leave it out, or draw a polygon'
        )
    polygons, line = _shapes(geometry, properties)
    return Zone(name, polygons, line, camera, use, measure, _share(properties))


def _refuse_unknown(properties: Mapping[str, Any]) -> None:
    """A misspelt property would be ignored without a word; others may be there for other tools."""
    for name in properties:
        hint = did_you_mean(name, _PROPERTIES)
        if name not in _PROPERTIES and hint:
            raise _Wrong(f'it has the property "{name}"{hint}')


def _text(properties: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = properties.get(name, default)
    if not isinstance(value, str) or not value.strip():
        raise _Wrong(f'the property "{name}" is {value!r}; expected a text')
    value = value.strip()
    if len(value) > _LONGEST_NAME or not value.isprintable():
        raise _Wrong(
            f'the property "{name}" is longer than {_LONGEST_NAME} characters, or has '
            f"characters that cannot be printed"
        )
    return value


def _choice(properties: Mapping[str, Any], name: str, known: Sequence[Any]) -> Any:
    value = properties.get(name, known[0])
    if value not in known:
        hint = did_you_mean(value, known) if isinstance(value, str) else ""
        raise _Wrong(f'"{name}" is {value!r}; expected {" or ".join(known)}{hint}')
    return value


def _share(properties: Mapping[str, Any]) -> float:
    value = properties.get("share", SHARE)
    if not _is_number(value) or not 0 < value <= 1:
        raise _Wrong(f'"share" is {value!r}; expected a number above 0 and up to 1')
    return float(value)


def _shapes(
    geometry: Mapping[str, Any], properties: Mapping[str, Any]
) -> tuple[tuple[tuple[Path, ...], ...], Path]:
    """The polygons and the line of a feature, in shares of the frame."""
    units = properties.get("units")
    if units not in UNITS:
        raise _Wrong(f'"units" is {units!r}; expected "px" or "share" (of the frame, 0 to 1)')
    wide, tall = _frame(properties) if units == "px" else (1.0, 1.0)
    content, kind = geometry.get("coordinates"), geometry["type"]
    if kind == "LineString":
        return (), _line(_points(content, units, wide, tall))
    polygons = [content] if kind == "Polygon" else content
    if (
        not isinstance(polygons, list)
        or not polygons
        or not all(isinstance(polygon, list) and polygon for polygon in polygons)
    ):
        raise _Wrong(f"the coordinates of a {kind} are lists of rings of points [x, y]")
    made = tuple(
        tuple(_ring(_points(ring, units, wide, tall)) for ring in polygon) for polygon in polygons
    )
    if sum(len(ring) for polygon in made for ring in polygon) > _MOST_POINTS:
        raise _Wrong(f"it has more than {_MOST_POINTS} points; simplify it")
    for polygon in made:
        met = crossing(polygon)
        if met is not None:
            x, y = met[0] * wide, met[1] * tall
            raise _Wrong(
                f"its outline crosses or touches itself at [{x:.4g}, {y:.4g}]; "
                f"list the corners in their order around the zone"
            )
    return made, ()


def _frame(properties: Mapping[str, Any]) -> tuple[float, float]:
    frame = properties.get("frame")
    if (
        not isinstance(frame, list)
        or len(frame) != 2
        or not all(_is_number(side) and side >= 1 for side in frame)
    ):
        raise _Wrong(
            f'"units" is "px", and "frame" is {frame!r}; expected [width, height], the size of '
            f"the image on which the zone was drawn"
        )
    return float(frame[0]), float(frame[1])


def _points(content: object, units: str, wide: float, tall: float) -> list[tuple[float, float]]:
    """Points in shares of the frame. GeoJSON allows a third coordinate, which is left out."""
    if not isinstance(content, list):
        raise _Wrong(f"expected a list of points [x, y], not {content!r}")
    points = []
    for point in content:
        if (
            not isinstance(point, list)
            or len(point) not in (2, 3)
            or not all(_is_number(value) for value in point)
        ):
            raise _Wrong(f"{str(point)[:60]} is not a point; expected [x, y]")
        x, y = float(point[0]), float(point[1])
        if not (0 <= x <= wide and 0 <= y <= tall):
            raise _Wrong(f"the point [{x:g}, {y:g}] {_outside(units, wide, tall, x, y)}")
        points.append((x / wide, y / tall))
    if units == "px" and points and all(x * wide <= 1 and y * tall <= 1 for x, y in points):
        raise _Wrong('all coordinates are between 0 and 1, and "units" is "px"; is it "share"?')
    return points


def _outside(units: str, wide: float, tall: float, x: float, y: float) -> str:
    if units == "px":
        return f"is outside the frame of {wide:g} x {tall:g} px"
    hint = '; is the unit "px"?' if max(x, y) > 1 and min(x, y) >= 0 else ""
    return f"is outside the frame; shares go from 0 to 1{hint}"


def _ring(points: list[tuple[float, float]]) -> Path:
    """Without the point that closes it, and without points that repeat the one before."""
    ring = [p for i, p in enumerate(points) if i == 0 or p != points[i - 1]]
    if len(ring) > 1 and ring[0] == ring[-1]:
        ring.pop()
    if len(ring) < 3:
        raise _Wrong(f"a polygon of {len(ring)} corners; expected at least three")
    if is_flat(tuple(ring)):
        raise _Wrong("the corners of a polygon are all on one line, so it has no area")
    return tuple(ring)


def _line(points: list[tuple[float, float]]) -> Path:
    line = [p for i, p in enumerate(points) if i == 0 or p != points[i - 1]]
    if len(line) < 2:
        raise _Wrong(f"a line of {len(line)} points; expected at least two that differ")
    if len(line) > _MOST_POINTS:
        raise _Wrong(f"it has more than {_MOST_POINTS} points; simplify it")
    return tuple(line)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
