"""Zones files: what is read, and what is refused with which words."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from segcli.errors import UsageError
from segcli.zones import Zone, parse_zones, read_zones
from segcli.zones.zone import matches

SQUARE = [[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75], [0.25, 0.25]]


def feature(
    coordinates: Any = None, kind: str = "Polygon", name: Any = "gate", **properties: Any
) -> dict[str, Any]:
    geometry = {"type": kind, "coordinates": [SQUARE] if coordinates is None else coordinates}
    properties = {"name": name, "units": "share", **properties}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def collection(*features: Any) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features)}


def only(one: dict[str, Any]) -> Zone:
    (zone,) = parse_zones(collection(one), named="z").zones
    return zone


def test_a_file_of_zones(tmp_path: Path) -> None:
    path = tmp_path / "zones.json"
    pixels = [[0, 0], [320, 0], [320, 240]]  # not closed, as drawn by hand
    content = collection(
        feature(camera="cam1", use="keep", share=0.3, measure="area"),
        feature([pixels], name="corner", units="px", frame=[640, 480], colour="red"),
        feature([[0, 0.5], [1, 0.5]], "LineString", name="door"),
        feature([[SQUARE], [[[0, 0], [0.1, 0], [0.1, 0.1]]]], "MultiPolygon", name="both"),
    )
    path.write_text(json.dumps(content))
    zones = read_zones(path)
    gate, corner, door, both = zones.zones
    ring = ((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75))
    assert gate == Zone("gate", ((ring,),), (), "cam1", "keep", "area", 0.3)
    assert corner == Zone("corner", ((((0.0, 0.0), (0.5, 0.0), (0.5, 0.5)),),))
    assert door == Zone("door", line=((0.0, 0.5), (1.0, 0.5)))
    assert len(both.polygons) == 2
    assert zones.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert zones.recorded()["content"] == content
    assert parse_zones(zones.recorded()["content"], named="z").zones == zones.zones


BAD = {
    "crosses or touches itself at \\[0.5, 0.5\\]": feature([[[0, 0], [1, 1], [1, 0], [0, 1]]]),
    "touches itself at \\[0.5, 0\\]": feature([[[0, 0], [1, 0], [1, 1], [0.5, 0], [0, 1]]]),
    "no area": feature([[[0, 0], [0.5, 0.5], [1, 1]]]),
    "2 corners": feature([[[0, 0], [0.5, 0.5], [0, 0]]]),
    'outside the frame; shares go from 0 to 1; is the unit "px"': feature(
        [[[0, 0], [320, 0], [320, 240]]]
    ),
    "outside the frame of 640 x 480 px": feature(
        [[[0, 0], [700, 0], [320, 240]]], units="px", frame=[640, 480]
    ),
    'is it "share"': feature(units="px", frame=[640, 480]),
    '"frame" is None; expected \\[width, height\\]': feature(units="px"),
    "\"units\" is 'pixels'": feature(units="pixels"),
    "\"use\" is 'keap'.*did you mean 'keep'": feature(use="keap"),
    "\"measure\" is 'foot'": feature(measure="foot"),
    '"share" is 0': feature(share=0),
    "property \"camara\"; did you mean 'camera'": feature(camara="cam1"),
    'property "name" is None': feature(name=None),
    "no mask is inside a line": feature([[0, 0], [1, 1]], "LineString", use="drop"),
    "a line of 1 points": feature([[0, 0], [0, 0]], "LineString"),
    "geometry is 'Point'": feature([0, 0], "Point"),
    "is not a point": feature([[[0, "0"], [1, 1], [1, 0]]]),
    "expected a list of points": feature([3]),
    "lists of rings": feature([], "MultiPolygon"),
    'expected an object with "type"': 7,
    'no "properties"': {"type": "Feature", "geometry": {}},
}


@pytest.mark.parametrize("reason", BAD)
def test_bad_features_are_refused_by_number_and_name(reason: str) -> None:
    with pytest.raises(UsageError, match=f"`zones` z.json, feature 2.*: .*{reason}"):
        parse_zones(collection(feature(name="first"), BAD[reason]), named="z.json")


def test_holes_may_touch_nothing() -> None:
    hole = [[0.4, 0.4], [0.6, 0.4], [0.6, 0.6], [0.4, 0.6]]
    assert len(only(feature([SQUARE, hole])).polygons[0]) == 2
    with pytest.raises(UsageError, match="crosses"):
        only(feature([SQUARE, [[0.4, 0.4], [0.9, 0.4], [0.6, 0.6]]]))


def test_names_are_of_one_zone_per_camera() -> None:
    parse_zones(collection(feature(camera="a"), feature(camera="b")), named="z")
    with pytest.raises(UsageError, match="feature 1 has the same name and camera"):
        parse_zones(collection(feature(), feature()), named="z")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "not a GeoJSON FeatureCollection"),
        ('{"type": "Polygon", "coordinates": []}', "not a GeoJSON FeatureCollection"),
        ('{"type": "FeatureCollection", "features": []}', "has no features"),
        (None, "No such file"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str | None, reason: str) -> None:
    path = tmp_path / "zones.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=reason):
        read_zones(path)


def test_cameras_by_name_folder_or_glob() -> None:
    key, camera = "site/gate/2026-04-01/0800.mp4#frame=5", "site/gate"
    for pattern in ("*", "site/gate", "site", "site/", "site/g*", "*/0800.mp4#frame=?", "s?te/*"):
        assert matches(pattern, key, camera), pattern
    for pattern in ("gate", "site/ga", "sit", "other", "gat*"):
        assert not matches(pattern, key, camera), pattern


def test_a_camera_without_images_is_named_with_those_that_there_are() -> None:
    zones = parse_zones(collection(feature(camera="cam1"), feature(camera="cam22")), named="z")
    images = [(f"{camera}/1.jpg", camera) for camera in ("cam1", "cam2")]
    said = zones.without_images(images)
    assert said == (
        "zone 'gate' is for camera 'cam22', which has no images here; cameras: 'cam1', 'cam2'; "
        "did you mean 'cam2'?"
    )
    assert zones.without_images([*images, ("cam22/1.jpg", "cam22")]) is None
    assert zones.without_images([]) is None  # nothing to compare with
    said = zones.without_images([("1.jpg", ".")])
    assert said is not None
    assert said.endswith("no images here; cameras: '.' (images in no folder)")
