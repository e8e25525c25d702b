"""Zones on pictures, and masks chosen by zones."""

import json
from pathlib import Path

import numpy as np
import pytest

from segcli.errors import UsageError
from segcli.images import decode
from segcli.viz import Style, VizOptions, visualise
from segcli.viz.zones import arrow, draw_zones
from segcli.zones import Zone

LEFT = (((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)),)


def zones_file(folder: Path, **properties: str) -> Path:
    path = folder / "zones.json"
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": LEFT},
        "properties": {"name": "left", "units": "share", **properties},
    }
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return path


def test_outlines_and_names() -> None:
    grey = np.full((200, 300, 3), 120, np.uint8)
    zone = Zone("yard \n", (LEFT,))
    assert draw_zones(grey, [], labels=True) is grey
    plain, named = (draw_zones(grey, [zone], labels=labels) for labels in (False, True))
    changed = (plain != grey).any(2)
    assert changed[100, 148:153].any()
    assert not changed[100, 10:140].any()
    assert not changed[:, 160:].any()
    edge = plain[:, 149:152].reshape(-1, 3)
    assert {*map(tuple, edge.tolist())} >= {(255, 255, 255), (20, 20, 22)}  # seen on any ground
    differs = np.argwhere((named != plain).any(2))
    assert differs.max(0).tolist() < [40, 120]


def test_the_arrow_points_to_the_right_of_the_way() -> None:
    up = [(50.0, 90.0), (50.0, 10.0)]
    (middle, tip), head = arrow(up, 12)
    assert middle == (50, 50)
    assert tip == (62, 50)  # where `stats` counts entries
    assert head[1] == tip
    (_, tip), _ = arrow(up[::-1], 12)
    assert tip == (38, 50)
    grey = np.full((100, 100, 3), 120, np.uint8)
    line = Zone("door", line=((0.5, 0.9), (0.5, 0.1)))
    changed = (draw_zones(grey, [line], labels=False) != grey).any(2)
    assert changed[50, 51:53].all()
    assert not changed[50, 40:48].any()


def test_masks_are_chosen_by_the_zones_of_a_file(archive, tmp_path: Path) -> None:
    masks, _ = archive()

    def drawn(mode: str = "overlay", **options: object) -> tuple[int, np.ndarray]:
        options = {"masks": masks, "out": tmp_path / "out", "style": Style(mode), **options}
        found = visualise(VizOptions(**options), report=lambda text: None)
        data = (tmp_path / "out/none.png.jpg").read_bytes()
        return found.masks, decode(data, key="").pixels

    count, plain = drawn()
    assert count == 3
    count, with_zones = drawn(zones=zones_file(tmp_path))
    assert count == 3
    assert (with_zones != plain).any()  # drawn where nothing was found, too
    assert drawn(zones=zones_file(tmp_path, use="keep"))[0] == 1  # two.png has a person there
    assert drawn(zones=zones_file(tmp_path, use="drop"), mode="blur")[0] == 3
    with pytest.raises(UsageError, match=r"camera 'sup'.*did you mean 'sub'"):
        drawn(zones=zones_file(tmp_path, camera="sup"))
