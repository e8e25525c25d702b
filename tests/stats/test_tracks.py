"""The table of `stats --by track`."""

from datetime import datetime
from pathlib import Path

import pytest

from segcli.errors import UsageError
from segcli.stats import StatsOptions, as_json, statistics, table_of
from segcli.store import Settings, open_output
from segcli.track import TrackOptions, track
from segcli.types import Record, Sample, Segment

CLIP = "gate/20260401_080000.mp4"


def frame(number: int, *tracks: int | None, score: float = 0.9) -> Record:
    """Frame `number` of a clip of ten frames per second, with a mask of each of `tracks`."""
    sample = Sample(f"{CLIP}#frame={number}", CLIP, None, 1, 1, number, number / 10)
    masks = [
        Segment(i % 2, score, (1.0, 2.0, 3.0, 4.0), 12, b"x", track_id=track)
        for i, track in enumerate(tracks)
    ]
    return Record(sample, 48, 64, masks)


def table(path: Path, *records: Record, **options: object) -> list[dict[str, object]]:
    settings = Settings({"source_root": "/a", "default_score": 0.5}, {})
    with open_output(path, settings, carried={}, categories=(("person", "car"), (1, 3))) as out:
        out.commit(records)
    found = statistics(
        StatsOptions(masks=path, by="track", time_pattern="%Y%m%d_%H%M%S", **options)  # type: ignore[arg-type]
    )
    assert '"tracks": [' in as_json(found)
    return table_of(found)


def test_a_row_per_track(tmp_path: Path) -> None:
    found = table(
        tmp_path / "m.parquet",
        frame(0, 7, None),
        frame(5, 7, 8),
        frame(12, 7, score=0.2),  # weak, and of the track all the same
        frame(20),
    )
    assert [(row["track"], row["category"], row["frames"], row["seconds"]) for row in found] == [
        (7, "person", 3, 1.2),
        (8, "car", 1, 0.0),
    ]
    assert {row["camera"] for row in found} == {"gate"}
    assert found[0]["first"] == datetime(2026, 4, 1, 8)
    assert found[0]["last"] == datetime(2026, 4, 1, 8, 0, 1, 200_000)


def test_a_given_score_counts_for_tracks_too(tmp_path: Path) -> None:
    records = frame(0, 7), frame(5, 7, score=0.2)
    found = table(tmp_path / "m.parquet", *records, min_score=0.3)
    assert [row["frames"] for row in found] == [1]


def test_tracking_without_a_track_is_told_from_no_tracking(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    with pytest.raises(UsageError, match="has no tracks; make them with segcli track"):
        table(path, frame(0, None))
    track(TrackOptions(masks=path), report=print)
    with pytest.raises(UsageError, match=r"no object was seen in 2 frames .* at most 3s \(`max"):
        statistics(StatsOptions(masks=path, by="track"))


def test_tracks_are_no_group_among_others(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    table(path, frame(0, 7))
    with pytest.raises(UsageError, match="leave out the others"):
        statistics(StatsOptions(masks=path, by="track,day"))
