"""Hours without images are gaps, not hours without objects."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from segcli.errors import UsageError
from segcli.stats import StatsOptions, alerts, as_csv, parse, statistics
from segcli.stats.gaps import MOST, with_gaps
from segcli.store import Settings, open_output
from segcli.types import Record, Sample, Segment

START = datetime(2026, 4, 1, 6, tzinfo=UTC)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """gate: images at 6, 7 and 10 o'clock; yard: at 8. One person in each of the gate at 6 and 10,
    the image of 9 failed."""

    def record(camera: str, hour: int, masks: int = 0, error: str | None = None) -> Record:
        mtime = int((START + timedelta(hours=hour - 6)).timestamp()) * 10**9
        segment = Segment(0, 0.9, (1.0, 1.0, 4.0, 4.0), 16, b"x")
        sample = Sample(f"{camera}/{hour:02d}.jpg", "", size_bytes=1, mtime_ns=mtime)
        return Record(sample, 48, 64, [segment] * masks, error)

    path = tmp_path / "m.parquet"
    settings = Settings({"source_root": "/archive"}, {"default_score": 0.4})
    with open_output(path, settings, carried={}, categories=(("person",), (1,))) as output:
        gate = [record("gate", 6, 1), record("gate", 7), record("gate", 9, error="bad")]
        output.commit([*gate, record("gate", 10, 1), record("yard", 8)])
    return path


def rows(out: Path, by: str) -> list[tuple[Any, ...]]:
    found = statistics(StatsOptions(masks=out, by=by))
    return [(*found.group_of(r), r["images"], r["masks"], r["per_image"]) for r in found.groups]


def test_an_hour_without_images_is_a_row_without_numbers(out: Path) -> None:
    assert rows(out, "hour") == [
        ("2026-04-01 06:00", 1, 1, 1.0),
        ("2026-04-01 07:00", 1, 0, 0.0),
        ("2026-04-01 08:00", 1, 0, 0.0),
        ("2026-04-01 09:00", 0, None, None),
        ("2026-04-01 10:00", 1, 1, 1.0),
    ]


def test_gaps_of_a_camera_last_until_the_end_of_all(out: Path) -> None:
    found = rows(out, "camera,hour")
    assert [(camera, hour[-5:], images) for camera, hour, images, *_ in found] == [
        *(("gate", f"{hour:02d}:00", int(hour in (6, 7, 10))) for hour in range(6, 11)),
        *(("yard", f"{hour:02d}:00", int(hour == 8)) for hour in range(8, 11)),
    ]
    assert rows(out, "hour,camera")[0][:2] == ("2026-04-01 06:00", "gate")
    assert len(rows(out, "camera")) == 2
    assert len(rows(out, "hour-of-day")) == 4


def test_gaps_in_a_file_are_empty_cells(out: Path) -> None:
    text = as_csv(statistics(StatsOptions(masks=out, by="hour")).groups)
    assert "2026-04-01 09:00,,,0,,,,," in text.splitlines()


def test_days_and_times_that_are_far_apart() -> None:
    def group(day: str) -> dict[str, Any]:
        return {"group": day, "category": None, "images": 3, "masks": 0, "per_image": 0.0}

    found = with_gaps([group("2026-02-27"), group("2026-03-02")], ("day",), ("group",))
    assert [row["group"][-5:] for row in found] == ["02-27", "02-28", "03-01", "03-02"]
    assert [row["masks"] for row in found] == [0, None, None, 0]
    wrong = [group("1970-01-01 00:00"), group("2026-03-02 00:00"), group("unknown")]
    assert with_gaps(wrong, ("hour",), ("group",)) == wrong
    assert len(wrong) < MOST
    assert with_gaps([group("unknown")], ("day",), ("group",)) == [group("unknown")]
    last = [group("9999-12-29"), group("9999-12-31"), group("unknown")]
    assert len(with_gaps(last, ("day",), ("group",))) == 4


def test_a_gap_is_no_hour_with_few_objects(out: Path) -> None:
    found = statistics(StatsOptions(masks=out, by="hour"))
    said = alerts([parse("person: count < 1")], found, None)
    assert [line.split(" in ")[1][:16] for line in said] == ["2026-04-01 07:00", "2026-04-01 08:00"]


def test_an_alert_on_the_longest_gap(out: Path) -> None:
    found = statistics(StatsOptions(masks=out))
    gap = found.run["gap"]
    assert (gap["camera"], gap["hours"]) == ("gate", 3.0)
    assert (gap["begin"].hour, gap["end"].hour) == (7, 10)
    (said,) = alerts([parse("run: gap > 2.5")], found, None)
    assert said == "run: gap > 2.5: 3 h now"
    assert alerts([parse("run: gap > 3")], found, None) == []
    yard = statistics(StatsOptions(masks=out, key="yard/*"))
    with pytest.raises(UsageError, match="do not span any time"):
        alerts([parse("run: gap > 3")], yard, None)
