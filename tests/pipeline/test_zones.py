"""Runs with zones: the column, what is dropped, the settings, and what is refused."""

import json
from pathlib import Path

import pyarrow.dataset
import pytest

from segcli.cli.status import _settings
from segcli.errors import UsageError
from segcli.pipeline import PredictOptions, predict
from segcli.store import read_settings

LEFT = [[[0, 0], [0.5, 0], [0.5, 1], [0, 1]]]


def zones_file(folder: Path, **properties: str) -> Path:
    path = folder / "zones.json"
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": LEFT},
        "properties": {"name": "left", "units": "share", **properties},
    }
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return path


def run(source: Path, out: Path, **options: object) -> list:
    options = {"model": "toy", "device": "cpu", "replicas": 0, **options}
    predict(PredictOptions(source=str(source), out=out, **options), report=lambda event: None)
    return [
        (row["key"], row["mask"], row["zones"])
        for row in pyarrow.dataset.dataset(out).to_table().to_pylist()
    ]


def test_zones_are_written_and_recorded(pictures, tmp_path: Path) -> None:
    source, path = pictures(3), zones_file(tmp_path)
    plain = run(source, tmp_path / "plain")
    assert {zones for *_, zones in plain} == {None}
    found = run(source, tmp_path / "zoned", zones=path)
    assert [row[:2] for row in found] == [row[:2] for row in plain]
    stood = [zones for *_, zones in found]
    assert {tuple(zones) for zones in stood} == {(), ("left",)}
    settings = read_settings(tmp_path / "zoned")
    assert settings["zones"] == {
        "sha256": settings["zones_file"]["sha256"], "lower_edge": 0.1, "share": 0.5,
    }  # fmt: skip
    assert settings["zones_file"]["content"] == json.loads(path.read_text())

    (line,) = [text for name, text in _settings(settings) if name == "zones"]
    assert line == f"left ({path})"

    inside = sum(zones == ["left"] for zones in stood)
    zones_file(tmp_path, use="keep")
    kept = run(source, tmp_path / "kept", zones=path)
    assert sum(zones == ["left"] for *_, zones in kept) == inside
    assert sum(zones == [] for *_, zones in kept) == 0
    with pytest.raises(
        UsageError, match=r"`zones`: .*\(sha256 \w{8}\) there, .*\(sha256 \w{8}\) now"
    ):
        run(source, tmp_path / "zoned", zones=path)  # the file has changed
    with pytest.raises(UsageError, match="zones"):
        run(source, tmp_path / "zoned")


def test_a_camera_without_images_is_refused_before_the_run(pictures, tmp_path: Path) -> None:
    source, path = pictures(1, name="images/cam1"), zones_file(tmp_path, camera="cam2")
    with pytest.raises(UsageError, match=r"zone 'left' is for camera 'cam2'.*cameras: 'cam1'"):
        run(source.parent, tmp_path / "out", zones=path)
    assert not (tmp_path / "out").exists()
    notes = []
    options = PredictOptions(
        source=str(source.parent), out=tmp_path / "out", model="toy", device="cpu", replicas=0,
        zones=path, include=("cam1/*",),
    )  # fmt: skip
    predict(options, report=notes.append)
    assert any("camera 'cam2'" in str(note) for note in notes)
