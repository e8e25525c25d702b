"""When the frames of a video were taken: by a JSON file with its name, or by its container."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.dataset
import pyarrow.parquet
import pytest

import segcli
from segcli.errors import UsageError
from segcli.pipeline.events import Event, Note
from segcli.stats import StatsOptions, statistics

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "video"))
from numbered import write_clip  # noqa: E402

sys.path.pop(0)

UTC = {"creation_time": "2026-11-18T11:59:58.000000Z"}


def run(source: Path, out: Path, **options: Any) -> list[Event]:
    given = {"model": "toy", "device": "cpu", "precision": "float32", "replicas": 0} | options
    events: list[Event] = []
    segcli.predict(source, out=out, report=events.append, **given)
    return events


def taken(out: Path) -> dict[str, str | None]:
    table = pyarrow.dataset.dataset(out).to_table(columns=["key", "src_taken"]).to_pylist()
    return {row["key"].partition("#")[0]: row["src_taken"] for row in table}


def test_groups_by_hour_of_the_frames(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "m.parquet"
    folder.mkdir()
    write_clip(folder / "a.mkv", 40, metadata=UTC)
    write_clip(folder / "b.mp4", 10, metadata={"creation_time": "1904-01-01T00:00:00Z"})
    (folder / "b.json").write_text('{"start": "2026-11-18T15:30:00+01:00"}')
    events = run(folder, out)
    assert Note("frames of videos were chosen by `every='1s'`") in events
    assert taken(out) == {"a.mkv": "2026-11-18 11:59:58", "b.mp4": "2026-11-18 15:30:00"}
    found = statistics(StatsOptions(masks=out, by="hour", min_score=0.0))
    groups = {row["group"]: row["images"] for row in found.groups if row["images"]}
    assert groups == {"2026-11-18 11:00": 2, "2026-11-18 12:00": 2, "2026-11-18 15:00": 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"start": 1795003198.5}', "2026-11-18 11:59:58.500000"),
        ('{"start": "2026-11-18 10:00"}', "2026-11-18 10:00:00"),
        ('{"shapes": []}', "2026-11-18 11:59:58"),
        ("{", "2026-11-18 11:59:58"),
        ('{"start": "noon"}', None),
        ('{"start": 1e300}', None),
        ('{"start": "0001-01-01T00:00:00Z"}', None),
        ('{"start": "9999-12-31T23:59:59"}', None),
        ('{"start": null}', None),
    ],
)
def test_what_a_json_file_states(tmp_path: Path, text: str, expected: str | None) -> None:
    folder, out = tmp_path / "in", tmp_path / "m.parquet"
    folder.mkdir()
    write_clip(folder / "a.mkv", 3, metadata=UTC)
    (folder / "a.mkv.json").write_text(text)
    events = run(folder, out)
    assert taken(out) == {"a.mkv": expected}
    notes = [event.message for event in events if isinstance(event, Note)]
    assert any("state `start` as a time" in note for note in notes) == (expected is None)


def test_a_stream_that_does_not_begin_at_0(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mkv", 3, times=[36000, 36001, 36002])
    (tmp_path / "a.json").write_text(json.dumps({"start": "2026-11-18 12:00:00"}))
    out = tmp_path / "m.parquet"
    run(clip, out, every="1f")
    table = pyarrow.dataset.dataset(out).to_table(columns=["time_s", "src_taken"])
    assert table["time_s"][0].as_py() == 3600.0
    assert table["src_taken"][0].as_py() == "2026-11-18 11:00:00"


def test_an_output_without_the_column_goes_on_without(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "m.parquet"
    folder.mkdir()
    from PIL import Image

    Image.new("RGB", (64, 48)).save(folder / "0.png")
    run(folder, out)
    write_clip(folder / "a.mkv", 3, metadata=UTC)
    run(folder, out)
    names = pyarrow.dataset.dataset(out).schema.names
    assert "frame" in names
    assert "src_taken" not in names
    assert len(os.listdir(out)) == 2


PATTERN = "%(camera)_%Y%m%d_%H%M%S"


def columns(out: Path, *names: str) -> list[tuple[Any, ...]]:
    table = pyarrow.dataset.dataset(out).to_table(columns=["key", "mask", *names]).to_pylist()
    rows = [tuple(row.values()) for row in table if row.pop("mask") in (None, 0)]
    return sorted(rows)


def test_times_and_cameras_in_names(tmp_path: Path, pictures: Callable[..., Path]) -> None:
    folder, out = pictures(3, name="in"), tmp_path / "m.parquet"
    (folder / "0000.png").rename(folder / "gate_20261118_100000.png")
    (folder / "0001.png").rename(folder / "gate_20260231_100000.png")  # no such day
    write_clip(folder / "yard_20261118_115958.mkv", 30, metadata=UTC)
    events = run(folder, out, every="10f", time_pattern=PATTERN)
    expected = [
        ("0002.png", None, None),
        ("gate_20260231_100000.png", None, "gate"),
        ("gate_20261118_100000.png", "2026-11-18 10:00:00", "gate"),
        *(
            (f"yard_20261118_115958.mkv#frame={n}", "2026-11-18 11:59:58", "yard")
            for n in (0, 10, 20)
        ),
    ]
    assert columns(out, "src_taken", "src_camera") == expected
    assert Note(f"`time_pattern` {PATTERN!r} does not fit all names, such as 0002.png") in events
    found = statistics(StatsOptions(masks=out, by="hour,camera", min_score=0.0))
    rows = {(row["hour"], row["camera"]): row["images"] for row in found.groups}
    assert rows["2026-11-18 11:00", "yard"] == 2
    assert rows["2026-11-18 12:00", "yard"] == 1
    # A later run without the pattern continues the output, and one with it an output without it.
    for number in (3, 4):
        pictures(number + 1, name="in")
        run(folder, out, limit=1)
    plain = tmp_path / "plain.parquet"
    run(folder, plain, include=("000*.png",), limit=1)
    notes = [
        event.message
        for event in run(folder, plain, time_pattern=PATTERN)
        if isinstance(event, Note)
    ]
    assert (
        "the output has no text column src_camera, so cameras are not written; give `segcli stats` "
        "the same `time_pattern`"
    ) in notes
    pictures(6, name="in")
    events = run(folder, plain, include=("0005.png",), time_pattern="x%Y")
    unfit = "`time_pattern` 'x%Y' fits none of the names in this run, such as 0005.png"
    assert [event.message for event in events if isinstance(event, Note)] == [unfit]


def test_a_column_of_the_manifest_takes_precedence(
    tmp_path: Path, pictures: Callable[..., Path]
) -> None:
    folder, out = pictures(2, name="in"), tmp_path / "m.parquet"
    paths = [folder / "20261118_100000.png", folder / "20261118_100001.png"]
    for number, path in enumerate(paths):
        (folder / f"{number:04d}.png").rename(path)
    table = {"path": [str(path) for path in paths], "taken": ["2020-01-01 00:00:00", None]}
    pyarrow.parquet.write_table(pyarrow.table(table), tmp_path / "list.parquet")
    run(tmp_path / "list.parquet", out, column="path", time_pattern="%Y%m%d_%H%M%S")
    assert [row[1] for row in columns(out, "src_taken")] == [
        "2020-01-01 00:00:00",
        "2026-11-18 10:00:01",
    ]


def test_an_output_with_times_of_videos_goes_on_without_videos(
    tmp_path: Path, pictures: Callable[..., Path]
) -> None:
    folder, out = pictures(1, name="in"), tmp_path / "m.parquet"
    write_clip(folder / "a.mkv", 3, metadata=UTC)
    run(folder, out)
    (folder / "a.mkv").unlink()
    pictures(2, name="in")
    run(folder, out)
    assert [row[0] for row in columns(out)] == ["0000.png", "0001.png", "a.mkv#frame=0"]


def test_an_unknown_field_of_a_pattern_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="%Q is unknown; known are %Y"):
        run(tmp_path, tmp_path / "m.parquet", time_pattern="%Q")
