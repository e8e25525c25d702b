"""Statistics by zone, and entries, exits and dwell times from tracks, against counts by hand."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segcli.errors import UsageError
from segcli.masks import rle
from segcli.stats import StatsOptions, alerts, compare, parse, statistics
from segcli.store import Settings, open_output
from segcli.types import Record, Sample, Segment
from segcli.zones import ZONES_FILE, ZonePass, read_zones

SIZE = (100, 200)
SIDE = 10
START = 1_795_000_000  # s: 2026-11-18 11:06:40 UTC


def zones_file(folder: Path, **changed: Any) -> Path:
    """The right half of cam1, a small zone of all cameras, and a line upwards in the middle."""
    half = [[[0.5, 0], [1, 0], [1, 1], [0.5, 1]]]
    corner = [[[0, 0], [0.1, 0], [0.1, 0.2], [0, 0.2]]]
    features = [
        ("right", "Polygon", half, {"camera": "cam1", **changed}),
        ("corner", "Polygon", corner, {}),
        ("door", "LineString", [[0.5, 1], [0.5, 0.5], [0.5, 0]], {"camera": "cam?"}),
    ]
    path = folder / "zones.json"
    content = [
        {
            "type": "Feature",
            "geometry": {"type": kind, "coordinates": points},
            "properties": {"name": name, "units": "share", **properties},
        }
        for name, kind, points, properties in features
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": content}))
    return path


def segment(x: float, y: float, track: int | None, label: int = 0) -> Segment:
    """A square whose lower edge has its middle at (x, y), px."""
    mask = np.zeros(SIZE, bool)
    left, top = round(x - SIDE / 2), round(y - SIDE)
    mask[max(0, top) : top + SIDE, max(0, left) : left + SIDE] = True
    box = (float(left), float(top), float(SIDE), float(SIDE))
    return Segment(label, 0.9, box, int(mask.sum()), rle.encode(mask), track_id=track)


Places = Sequence[tuple[float, float] | str | None]


@pytest.fixture
def footage(tmp_path: Path) -> Callable[..., Path]:
    """footage({camera: {track: places}}, zones=...) -> an output, one frame every ten seconds;
    a place "static" makes it a frame that repeats the first."""

    def made(
        cameras: dict[str, dict[int | None, Places]], zones: Path | None = None, name: str = "m"
    ) -> Path:
        known = None if zones is None else read_zones(zones)
        recorded: dict[str, Any] = {"default_score": 0.5}
        compared: dict[str, Any] = {"source_root": "/archive"}
        if known is not None:
            recorded[ZONES_FILE] = known.recorded()
            compared["zones"] = known.facts()
        records = []
        for camera, tracks in cameras.items():
            for number in range(max(len(places) for places in tracks.values())):
                found = [
                    (track, places[number])
                    for track, places in tracks.items()
                    if number < len(places) and places[number] is not None
                ]
                is_static = any(place == "static" for _, place in found)
                segments = [segment(*at, n, (n or 0) % 2) for n, at in found if not is_static]
                sample = Sample(
                    f"{camera}/{number:04}.jpg", "", None, 9, (START + 10 * number) * 10**9
                )
                repeats = f"{camera}/0000.jpg" if is_static else None
                record = Record(sample, *SIZE, segments, repeats=repeats)
                records.append(record if known is None else ZonePass(known).record(record))
        path = tmp_path / f"{name}.parquet"
        settings = Settings(compared, recorded)
        names = (("car", "person"), (3, 1))
        with open_output(path, settings, carried={}, categories=names) as output:
            output.commit(records)
        return path

    return made


ACROSS = [(x, 50.0) for x in (20, 60, 90, 120, 150, 180)]
CAMERAS: dict[str, dict[int | None, Places]] = {
    "cam1": {
        1: ACROSS,  # a person from left to right: into the right half, and it stays
        3: ACROSS[::-1],  # from right to left
        2: [(120, 50), (80, 50), None, (120, 50), (120, 60), (10, 15)],  # a car that comes and goes
        None: [(180, 90)],  # without a track
    },
    "cam2": {1: [(20, 50), (180, 50)]},  # the zone on the right is not of this camera
}


def by_zone(found: Any) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["group"], row["category"]): row for row in found.groups}


def test_by_zone_with_tracks(footage: Callable[..., Path], tmp_path: Path) -> None:
    masks = footage(CAMERAS, zones_file(tmp_path))
    found = statistics(StatsOptions(masks=masks, by="zone"))
    rows = by_zone(found)

    def of(zone: str, category: str, *names: str) -> tuple[Any, ...]:
        return tuple(rows[zone, category][name] for name in names)

    assert of("right", "person", "images", "masks", "tracks") == (6, 6, 2)
    assert of("right", "person", "entries", "exits") == (1, 1)
    assert of("right", "person", "dwell_p50_s", "dwell_max_s") == (20, 20)
    # From 0 s, then again from 30 to 40 s; the row that has no track is no object that passes.
    assert of("right", "car", "masks", "tracks", "entries", "exits") == (4, 1, 1, 2)
    assert of("right", "car", "dwell_p50_s", "dwell_max_s") == (10, 10)
    assert of("corner", "car", "images", "masks", "entries", "dwell_max_s") == (8, 1, 1, 0)
    # From the left of the line, seen along its way upwards, to its right.
    assert of("door", "person", "tracks", "entries", "exits", "masks") == (3, 2, 1, 3)
    assert of("door", "car", "entries", "exits", "dwell_p50_s") == (1, 2, None)
    assert of("(none)", "person", "images", "masks", "tracks") == (8, 8, None)
    assert rows["right", "car"]["per_image"] == 4 / 6
    assert [row | {"group": row["zone"]} for row in found.zones] == [
        row | {"zone": row["group"]} for row in found.groups
    ]


def test_by_zone_and_camera_and_time(footage: Callable[..., Path], tmp_path: Path) -> None:
    masks = footage(CAMERAS, zones_file(tmp_path))
    found = statistics(StatsOptions(masks=masks, by="zone,camera,hour"))
    assert found.titles == ("zone", "camera", "hour")
    rows = {(row["zone"], row["camera"], row["category"]): row for row in found.groups}
    assert rows["door", "cam2", "person"]["entries"] == 1
    assert rows["door", "cam1", "person"]["hour"] == "2026-11-18 11:00"
    assert ("right", "cam2", "person") not in rows
    assert rows["corner", "cam2", None]["images"] == 2  # watched, and nothing there
    assert rows["corner", "cam2", None]["entries"] == 0


def test_zones_for_an_output_without_any(footage: Callable[..., Path], tmp_path: Path) -> None:
    path = zones_file(tmp_path)
    plain, zoned = footage(CAMERAS), footage(CAMERAS, path, name="zoned")
    with pytest.raises(UsageError, match="--by zone.*has no zones; give --zones"):
        statistics(StatsOptions(masks=plain, by="zone"))
    wanted = statistics(StatsOptions(masks=zoned, by="zone"))
    found = statistics(StatsOptions(masks=plain, by="zone", zones=path))
    assert found.groups == wanted.groups
    drift = compare(
        StatsOptions(masks=plain, by="zone", zones=path),
        StatsOptions(masks=zoned, by="zone", zones=path),
    )
    assert drift.sentences == [
        "nothing moved: rates within 20 %, all distributions stable (PSI below 0.1)"
    ]
    assert {row["group"] for row in drift.classes} == {"right", "corner", "door", "(none)"}

    dropped = zones_file(tmp_path, use="drop")
    found = statistics(StatsOptions(masks=plain, zones=dropped, where="len(zones) = 0"))
    counts = {row["category"]: row["masks"] for row in found.classes}
    assert counts == {"person": 8, "car": 1}
    assert found.run["done"] == 8
    misspelt = zones_file(tmp_path, camera="cam11")
    with pytest.raises(UsageError, match=r"camera 'cam11'.*'cam1', 'cam2'; did you mean 'cam1'"):
        statistics(StatsOptions(masks=plain, zones=misspelt))


def test_static_frames_count_for_the_time_in_a_zone(
    footage: Callable[..., Path], tmp_path: Path
) -> None:
    path = zones_file(tmp_path)
    masks = footage({"cam1": {1: [(150, 50), "static", "static", (20, 50)]}}, path)
    rows = by_zone(statistics(StatsOptions(masks=masks, by="zone")))
    again = by_zone(statistics(StatsOptions(masks=masks, by="zone", zones=path)))
    for row in (rows["right", "person"], again["right", "person"]):
        assert (row["images"], row["masks"], row["exits"], row["dwell_p50_s"]) == (4, 3, 1, 20)
    rows = by_zone(statistics(StatsOptions(masks=masks, by="zone", static="ignore")))
    row = rows["right", "person"]
    assert (row["images"], row["masks"], row["exits"], row["dwell_p50_s"]) == (2, 1, 1, 0)


@pytest.mark.parametrize("seed", range(3))
def test_crossings_agree_with_a_count_by_hand(
    footage: Callable[..., Path], tmp_path: Path, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    walks = {n: rng.uniform((10, 15), (190, 99), (30, 2)).tolist() for n in (1, 3)}
    path = zones_file(tmp_path)
    found = statistics(StatsOptions(masks=footage({"cam1": walks}, path), by="zone"))
    entries = exits = 0
    for walk in walks.values():
        # the middle of the lower side of the box that `segment` writes
        xs = [round(x - SIDE / 2) + SIDE / 2 for x, _ in walk]
        for before, now in zip(xs, xs[1:], strict=False):
            entries += before <= 100 < now
            exits += now <= 100 < before
    row = by_zone(found)["door", "person"]
    assert (row["entries"], row["exits"]) == (entries, exits)


def test_alerts_on_a_zone(footage: Callable[..., Path], tmp_path: Path) -> None:
    masks = footage(CAMERAS, zones_file(tmp_path))
    found = statistics(StatsOptions(masks=masks))

    def fired(*texts: str) -> list[str]:
        return alerts([parse(text) for text in texts], found, None)

    assert fired("person in right: count > 5", "person in right: count > 6") == [
        "person in right: count > 5: 6 now"
    ]
    assert len(fired("car in door: exits >= 2", "car in door: entries >= 2")) == 1
    assert len(fired("person in right: dwell > 19", "person in door: dwell > 0")) == 1
    assert len(fired("person in corner: count < 1", "person in corner: tracks > 0")) == 1
    by_hour = statistics(StatsOptions(masks=masks, by="hour"))
    rule = parse("person in right: count > 0.5 * previous")
    assert alerts([rule], by_hour, by_hour) == [f"{rule.text}: 6 now, limit 3"]
    for text, reason in {
        "person in rigth: count > 1": "no zone 'rigth'; it has.*did you mean 'right'",
        "dog in right: count > 1": "no class 'dog in right'",
        "person: entries > 1": "entries is of a zone; write CLASS in ZONE",
        "person in right: mask > 1": "no metric 'mask'",
    }.items():
        with pytest.raises(UsageError, match=reason):
            fired(text)
    plain = footage({"cam1": {None: [(180, 90)]}}, zones_file(tmp_path), name="untracked")
    found = statistics(StatsOptions(masks=plain))
    assert "tracks" not in found.zones[0]
    with pytest.raises(UsageError, match="needs tracks"):
        fired("car in right: entries > 1")
    found = statistics(StatsOptions(masks=footage({"cam1": {None: [(180, 90)]}}, name="plain")))
    with pytest.raises(UsageError, match="no zone 'right'; it has none: give --zones"):
        fired("car in right: count > 1")
