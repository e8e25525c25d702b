"""Tracks in exported files."""

import json
from pathlib import Path

import numpy as np
import pytest

from segcli.errors import UsageError
from segcli.export import FORMATS, Choices, select
from segcli.masks import rle
from segcli.store import Settings, open_output
from segcli.types import Record, Sample, Segment

SIZE = (20, 30)


def segment(x: int, track: int | None) -> Segment:
    mask = np.zeros(SIZE, bool)
    mask[5:15, x : x + 4] = True
    text = rle.encode(mask)
    return Segment(1, 0.75, rle.to_box(text, *SIZE), 40, text, track_id=track)


def frame(number: int, *segments: Segment, clip: str = "cam/a.mp4") -> Record:
    sample = Sample(f"{clip}#frame={number}", clip, None, 1, 1, number, number / 10)
    return Record(sample, *SIZE, segments)


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    path = tmp_path / "masks.parquet"
    settings = Settings({"source_root": "/a"}, {})
    with open_output(path, settings, carried={}, categories=(("person", "car"), (1, 3))) as out:
        out.commit([frame(4, segment(9, 7)), frame(2, segment(5, 7), segment(20, None))])
        out.commit([frame(0, segment(1, 9), clip="cam/b.mp4")])
        out.commit([Record(Sample("cam/still.jpg", "x"), *SIZE, [segment(1, 3)])])
    return path


def test_boxes_and_masks_of_motchallenge(masks: Path, tmp_path: Path) -> None:
    tally = FORMATS["mot"](select(masks), tmp_path / "mot", Choices())
    assert (tmp_path / "mot/cam/a.txt").read_text().splitlines() == [
        "3,7,5,5,4,10,0.75,-1,-1,-1",
        "5,7,9,5,4,10,0.75,-1,-1,-1",
    ]
    assert sorted(tally.sentences()) == [
        "1 mask in no track was left out",
        "1 mask of stills was left out: the format is for videos",
    ]
    FORMATS["mots"](select(masks), tmp_path / "mots", Choices())
    line = (tmp_path / "mots/cam/b.txt").read_text()
    assert line == f"1 9 3 20 30 {segment(1, 9).rle.decode()}\n"


def test_videos_and_tracks_of_coco(masks: Path, tmp_path: Path) -> None:
    FORMATS["coco"](select(masks), tmp_path / "a.json", Choices())
    found = json.loads((tmp_path / "a.json").read_text())
    videos = {video["name"]: video["id"] for video in found["videos"]}
    assert {*videos} == {"cam/a.mp4", "cam/b.mp4"}
    frames = {
        image["file_name"]: (image.get("video_id"), image.get("frame_id"))
        for image in found["images"]
    }
    assert frames["cam/a.mp4#frame=4"] == (videos["cam/a.mp4"], 4)
    assert frames["cam/still.jpg"] == (None, None)
    tracks = [one.get("track_id") for one in found["annotations"]]
    assert sorted(tracks, key=str) == [3, 7, 7, 9, None]


def test_other_formats_count_the_tracks_they_lose(masks: Path, tmp_path: Path) -> None:
    tally = FORMATS["cvat"](select(masks), tmp_path / "a.xml", Choices())
    assert tally.sentences() == ["the tracks of 4 masks were left out"]


def test_an_output_without_tracks_is_refused(masks: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="make tracks with segcli track"):
        FORMATS["mot"](select(masks, key="*.jpg"), tmp_path / "mot", Choices())


def test_two_videos_of_one_name_are_refused(masks: Path, tmp_path: Path) -> None:
    settings = Settings({"source_root": "/a"}, {})
    with open_output(masks, settings, carried={}, categories=(("person", "car"), (1, 3))) as out:
        out.commit([frame(0, segment(1, 9), clip="cam/b.mkv")])
    with pytest.raises(UsageError, match="would both be written"):
        FORMATS["mot"](select(masks), tmp_path / "mot", Choices())
