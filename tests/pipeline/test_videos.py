"""Runs over videos: each frame is a row of its own, and a run can be continued inside a clip."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.dataset
import pytest
from toy_data import keys, rows

from segcli.pipeline import PredictOptions, predict
from segcli.pipeline.events import Summary

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "video"))
from numbered import write_clip  # noqa: E402

sys.path.pop(0)


def run(source: Path, out: Path, **options: Any) -> Summary:
    """In this process, unless `replicas` says otherwise: starting one takes seconds."""
    given = {"model": "toy", "device": "cpu", "precision": "float32", "workers": 2, "replicas": 0}
    given |= options
    return predict(PredictOptions(source=str(source), out=out, **given), report=[].append)


@pytest.fixture
def footage(tmp_path: Path, pictures: Callable[..., Path]) -> Path:
    """Two stills, a clip of 60 frames at 10 per second, and one below a folder."""
    folder = pictures(2, name="footage")
    write_clip(folder / "a.mp4", codec="libx264", b_frames=2)
    (folder / "cam1").mkdir()
    write_clip(folder / "cam1/b.mkv", 25, codec="libx264")
    return folder


def test_one_frame_a_second_beside_stills(footage: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.parquet"
    summary = run(footage, out, replicas=1)
    assert (summary.images, summary.failed) == (11, 0)
    assert keys(out) == [
        "0000.png",
        "0001.png",
        *(f"a.mp4#frame={index}" for index in (0, 10, 20, 30, 40, 50)),
        *(f"cam1/b.mkv#frame={index}" for index in (0, 10, 20)),
    ]
    table = pyarrow.dataset.dataset(out).to_table(columns=["key", "frame", "time_s", "height"])
    found = {row["key"]: row for row in table.to_pylist()}
    assert found["a.mp4#frame=20"]["frame"] == 20
    assert found["a.mp4#frame=20"]["time_s"] == pytest.approx(2.0)
    assert found["a.mp4#frame=0"]["height"] == 64
    assert found["0000.png"]["frame"] is None


def test_a_run_goes_on_inside_a_clip(footage: Path, tmp_path: Path) -> None:
    out, whole = tmp_path / "m.parquet", tmp_path / "whole.parquet"
    for _ in range(3):
        assert run(footage, out, every="5f", limit=6, chunk_size=4).images == 6
    assert run(footage, out, every="5f").images == 19 - 18
    run(footage, whole, every="5f")
    assert rows(out) == rows(whole)
    assert run(footage, out, every="5f").images == 0


def test_frames_that_were_not_asked_for_before_are_added(footage: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.parquet"
    run(footage, out)
    assert run(footage, out, every="keyframe").images > 0
    assert run(footage, out, every="1f").images > 0
    assert len(keys(out)) == 2 + 60 + 25


def test_a_changed_clip_is_processed_again(footage: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.parquet"
    run(footage, out)
    write_clip(footage / "a.mp4", 30, codec="libx264")
    assert run(footage, out).images == 3


def test_bad_clips_are_rows_with_a_reason(footage: Path, tmp_path: Path) -> None:
    (footage / "empty.mp4").write_bytes(b"")
    (footage / "text.mkv").write_text("not a video")
    data = (footage / "cam1/b.mkv").read_bytes()
    (footage / "cut.mkv").write_bytes(data[: len(data) * 2 // 3])
    out = tmp_path / "m.parquet"
    summary = run(footage, out, every="1f")
    table = pyarrow.dataset.dataset(out).to_table(columns=["key", "status", "error"]).to_pylist()
    errors = {row["key"]: row["error"] for row in table if row["status"] == "failed"}
    cut = [key for key in errors if key.startswith("cut.mkv#frame=")]
    assert set(errors) == {"empty.mp4", "text.mkv", *cut}
    assert summary.failed == len(errors)
    assert "is empty" in errors["empty.mp4"]
    assert "not a readable video" in errors["text.mkv"]
    assert "the video ends before this frame" in errors[cut[-1]]
    done = {key for key in keys(out) if key.startswith("cut.mkv")}
    assert len(done) > 5


def test_a_single_clip_and_a_list_of_clips(footage: Path, tmp_path: Path) -> None:
    assert run(footage / "a.mp4", tmp_path / "one.parquet").images == 6
    listing = tmp_path / "clips.txt"
    listing.write_text(f"{footage}/a.mp4\n{footage}/cam1/b.mkv\n")
    assert run(listing, tmp_path / "two.parquet").images == 9


def test_shards_keep_the_frames_of_a_clip_together(footage: Path, tmp_path: Path) -> None:
    for number in range(4):
        shutil.copy(footage / "a.mp4", footage / f"c{number}.mp4")
    out = tmp_path / "m.parquet"
    done = [run(footage, out, shard=f"{number}/3").images for number in range(3)]
    assert sum(done) == 11 + 4 * 6
    whole = tmp_path / "whole.parquet"
    run(footage, whole)
    assert keys(out) == keys(whole)


def test_frames_larger_than_allowed_fail(footage: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.parquet"
    summary = run(footage, out, max_pixels=64 * 96 - 1, include=("*.mp4*", "*.png"))
    assert (summary.images, summary.failed) == (8, 6)


def test_files_are_chosen_by_pattern_and_age(footage: Path, tmp_path: Path) -> None:
    import os
    import time

    hour_ago = time.time() - 3600
    os.utime(footage / "a.mp4", (hour_ago, hour_ago))
    assert run(footage, tmp_path / "1.parquet", include=("cam1/*",)).images == 3
    assert run(footage, tmp_path / "2.parquet", exclude=("cam1/*", "*.png")).images == 6
    assert run(footage, tmp_path / "3.parquet", older_than="30m").images == 6
    assert run(footage, tmp_path / "4.parquet", newer_than="30m").images == 5
