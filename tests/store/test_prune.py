"""Old images lose their rows, keep their counts if asked, and are not processed again."""

import itertools
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.dataset
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from segcli.cli import app
from segcli.errors import Locked, UsageError
from segcli.retention import Pruned, PruneOptions, kept_counts, prune
from segcli.store import Settings, compact, lock_output, open_output, status
from segcli.store.pruned import EMPTY
from segcli.store.pruned_files import pruned_path
from segcli.store.verification import verify
from segcli.types import Record, Sample, Segment
from segcli.viz import VizOptions, visualise

DAY_S = 86400
NOW_S = int(time.time())
CATEGORIES = (("person", "car"), (1, 3))


def sample(key: str, age_d: float | None) -> Sample:
    """Of a file of that age; None: without a time, as an image in a manifest."""
    mtime_ns = None if age_d is None else int((NOW_S - age_d * DAY_S) * 1e9)
    return Sample(key, f"/archive/{key}", size_bytes=100, mtime_ns=mtime_ns)


def record(key: str, age_d: float | None, masks: int = 1, error: str | None = None) -> Record:
    segments = [Segment(i % 2, 0.9, (1.0, 2.0, 3.0, 4.0), 12, b"0<") for i in range(masks)]
    at = sample(key, age_d)
    return Record(at, None, None, (), error) if error else Record(at, 3, 4, segments)


def opened(out: Path, **more: Any) -> Any:
    settings = Settings({"source_root": "/archive", "min_score": 0.05}, {})
    return open_output(out, more.pop("settings", settings), carried={}, categories=CATEGORIES)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Parts of images that are old, old and new, and new; two masks each but for the failed one."""
    path = tmp_path / "masks.parquet"
    with opened(path) as output:
        output.commit([record(f"cam1/{n}.jpg", 100, 2) for n in range(3)])
        output.commit([record("cam1/3.jpg", 91, 2), record("cam2/a.jpg", 10, 2)])
        output.commit([record("cam2/bad.jpg", 95, error="bad"), record("cam2/b.jpg", 1, 2)])
        output.commit([record("cam2/c.jpg", 0, 2)])
    return path


def pruned(out: Path, days: float = 90, **more: Any) -> Pruned:
    return prune(PruneOptions(out=out, older_than=days * DAY_S, **more))


def keys(out: Path) -> list[str]:
    table = pyarrow.dataset.dataset(out).to_table(columns=["key", "mask"]).to_pylist()
    return sorted(row["key"] for row in table if row["mask"] in (None, 0))


KEPT = ["cam2/a.jpg", "cam2/b.jpg", "cam2/c.jpg"]


def test_old_rows_go_counts_stay_and_a_run_skips_the_images(out: Path) -> None:
    newest = max(part.stat().st_mtime_ns for part in out.iterdir())
    would = pruned(out, dry_run=True)
    assert (would.images, would.failed, would.masks, would.parts, would.left) == (5, 1, 8, 3, 3)
    assert len(keys(out)) == 8
    assert not pruned_path(out).exists()
    assert replace(pruned(out, keep_counts=True), before=would.before) == would
    assert keys(out) == KEPT
    found = status(out)
    assert (found.images, found.failed, found.masks, found.pruned) == (3, 0, 6, 5)
    assert found.parts == 3  # the part of old images alone is gone
    assert max(part.stat().st_mtime_ns for part in out.iterdir()) == newest
    assert verify(out).is_intact
    with opened(out) as output:
        assert output.state(sample("cam1/0.jpg", 100)) == "done"
        assert output.state(sample("cam2/bad.jpg", 95)) == "done"
        assert output.state(sample("cam1/0.jpg", 99)) == "new"  # the file has changed
        assert output.state(sample("cam1/9.jpg", 100)) == "new"
        assert output.state(sample("cam2/a.jpg", 10)) == "done"
        assert output.images == 3
    counts = kept_counts(out)
    assert sum(row["masks"] for row in counts) == 8
    day = time.strftime("%Y-%m-%d", time.gmtime(NOW_S - 100 * DAY_S))
    assert counts[:2] == [
        {"day": day, "camera": "cam1", "category": name, "images": 3, "failed": 0, "static": 0,
         "images_with": 3, "masks": 3}
        for name in ("car", "person")
    ]  # fmt: skip
    of_failed = [row for row in counts if row["failed"]]
    assert [(row["camera"], row["images"], row["category"]) for row in of_failed] == [
        ("cam2", 1, None)
    ]
    assert pruned(out).images == 0
    assert len([*pruned_path(out).iterdir()]) == 1


def test_the_counts_of_prunings_add_up_and_are_shown(out: Path) -> None:
    with opened(out) as output:
        output.commit([record("cam1/late.jpg", 100, 1)])
    pruned(out, 99.5, keep_counts=True)
    with opened(out) as output:
        output.commit([record("cam1/later.jpg", 100, 1)])
    pruned(out, keep_counts=True)
    first = kept_counts(out)[:2]
    assert [(row["images"], row["masks"]) for row in first] == [(5, 3), (5, 5)]
    shown = CliRunner().invoke(app, ["stats", str(out), "--pruned"])
    assert shown.exit_code == 0
    assert "cam2" in shown.output
    as_csv = CliRunner().invoke(app, ["stats", str(out), "--pruned", "--format", "csv"])
    assert as_csv.output.startswith("day,camera,category,images,failed,static,images_with,masks\n")
    with pytest.raises(UsageError, match="as they were kept"):
        CliRunner().invoke(
            app, ["stats", str(out), "--pruned", "--by", "day"], catch_exceptions=False
        )


@pytest.mark.parametrize("done", [False, True])
def test_a_kill_at_any_step_loses_nothing_and_counts_nothing_twice(
    done: bool, out: Path, tmp_path: Path, killed_at: Callable[..., Any]
) -> None:
    """`done`: kills come after the even steps, else before the odd ones."""
    whole, left = tmp_path / "whole", set()
    shutil.copytree(out, whole)
    for step in itertools.count(not done, 2):
        for path in (out, pruned_path(out)):
            shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(whole, out)
        with killed_at(step, done) as steps:
            try:
                pruned(out, keep_counts=True)
                break
            except BaseException as error:
                if type(error).__name__ != "Killed":
                    raise
        found = status(out)
        assert found.images + found.pruned == 8, steps
        assert {*KEPT} <= {*keys(out)}
        left.add(found.images)
        with opened(out) as output:  # a run finishes what was begun
            begun = output.images == 3
            assert output.state(sample("cam1/0.jpg", 100)) == "done"
        assert not [*tmp_path.glob("**/*.pending"), *tmp_path.glob("**/.*.staging")]
        if begun:
            assert (status(out).pruned, keys(out)) == (5, KEPT)
            assert sum(row["masks"] for row in kept_counts(out)) == 8
        else:
            assert {path.suffix for path in pruned_path(out).glob("*")} <= {".unfinished"}
    assert left == {8, 5, 4, 3}, "nothing removed, then one part after another"


def test_an_image_that_is_processed_again_meanwhile_stays(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import segcli.retention.pruning as module

    with monkeypatch.context() as patch:
        patch.setattr(module, "finish", lambda place: None)
        pruned(out)
    shard = replace(Settings({"source_root": "/archive", "min_score": 0.05}, {}), shard="0/1")
    with opened(out, settings=shard) as output:  # a shard does not finish it
        assert output.images == 8
        output.replace([record("cam1/3.jpg", 0.5, 1)])
    assert status(out).pruned == 1  # its earlier rows
    with opened(out):
        pass
    assert keys(out) == ["cam1/3.jpg", *KEPT]


def test_an_output_whose_images_are_all_old_stays_an_output(out: Path) -> None:
    assert pruned(out, 0).left == 0
    assert [part.name for part in out.iterdir()] == [EMPTY]
    assert (status(out).images, status(out).pruned) == (0, 8)
    assert verify(out).is_intact
    told = CliRunner().invoke(app, ["stats", str(out)])
    assert told.exit_code == 0, told.output
    assert f"{out} has no images: 8 were pruned\n" in told.output
    with pytest.raises(UsageError, match="nothing to draw: .* has no images: 8 were pruned"):
        visualise(VizOptions(masks=out, images=str(out.parent), out=out.parent / "v"), report=print)
    assert pruned(out, 0).images == 0
    with opened(out) as output:
        output.commit([record("cam1/new.jpg", 0)])
    compact(out, images=10)
    assert keys(out) == ["cam1/new.jpg"]
    assert len([*out.iterdir()]) == 1


def test_without_a_time_the_time_of_processing_counts_also_after_compact(tmp_path: Path) -> None:
    out = tmp_path / "masks.parquet"
    with opened(out) as output:
        for name in ("a", "b"):
            part = output.commit([record(f"{name}.jpg", None)])
            os.utime(part, (NOW_S - 95 * DAY_S, NOW_S - 95 * DAY_S))
        output.commit([record("c.jpg", None)])
    compact(out, images=2)
    assert len([*out.iterdir()]) == 2
    assert pruned(out).images == 2
    assert keys(out) == ["c.jpg"]


def test_names_with_times_count_instead_of_those_of_files(tmp_path: Path) -> None:
    out = tmp_path / "masks.parquet"
    with opened(out) as output:
        output.commit([record("cam1_20200101-120000.jpg", 0), record("cam1_x.jpg", 0)])
    options = {"time_pattern": "cam%(camera)_%Y%m%d-%H%M%S", "keep_counts": True}
    assert pruned(out, **options).images == 1
    (row,) = kept_counts(out)
    assert (row["day"], row["camera"], row["category"]) == ("2020-01-01", "1", "person")


def test_images_whose_names_do_not_state_a_camera_are_counted_as_unknown(tmp_path: Path) -> None:
    out = tmp_path / "masks.parquet"
    with opened(out) as output:
        output.commit([record("c7_a.jpg", 100), record("other.jpg", 100)])
    pruned(out, time_pattern="%(camera)_", keep_counts=True)
    assert [(row["camera"], row["masks"]) for row in kept_counts(out)] == [
        ("c7", 1),
        ("unknown", 1),
    ]
    (counts,) = pruned_path(out).glob("*/counts.parquet")
    table = pyarrow.parquet.read_table(counts)
    cameras = [None if name == "unknown" else name for name in table["camera"].to_pylist()]
    at = table.column_names.index("camera")  # as an earlier version wrote them
    pyarrow.parquet.write_table(table.set_column(at, "camera", [cameras]), counts)
    assert [row["camera"] for row in kept_counts(out)] == ["c7", "unknown"]


@pytest.mark.parametrize("name", ["keys", "counts"])
def test_damage_of_what_was_kept_is_found(out: Path, name: str) -> None:
    """Also where the page can still be decoded: pages have checksums."""
    pruned(out, keep_counts=True)
    (path,) = pruned_path(out).glob(f"*/{name}.parquet")
    group, data = pyarrow.parquet.ParquetFile(path).metadata.row_group(0), path.read_bytes()
    damaged = [data.replace(b"head", b"\xffead").replace(b"day", b"\xffay")]
    for number in range(group.num_columns):
        column = group.column(number)
        start = column.dictionary_page_offset or column.data_page_offset
        last = start + column.total_compressed_size - 1
        damaged.append(data[:last] + bytes([data[last] ^ 1]) + data[last + 1 :])
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(
            UsageError, match=r"cannot read .*, the keys of images .* copy it again"
        ):
            {"keys": opened, "counts": kept_counts}[name](out)


@pytest.mark.parametrize("time_s", [1e15, float("nan")])
def test_a_frame_with_a_damaged_time_is_as_old_as_its_clip(tmp_path: Path, time_s: float) -> None:
    out = tmp_path / "masks.parquet"
    with opened(out) as output:
        at = replace(sample("cam1/a.mp4#frame=1", 100), frame=1, time_s=time_s)
        output.commit([replace(record("cam1/a.mp4", 100), sample=at), record("cam1/b.jpg", 1)])
    assert pruned(out).images == 1
    assert keys(out) == ["cam1/b.jpg"]


def test_of_an_image_that_was_pruned_twice_the_later_state_counts_if_the_clock_goes_back(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import segcli.store.pruned_files as module

    class SetBack(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime(2020, 1, 1, tzinfo=tz)

    pruned(out)
    with opened(out) as output:
        output.commit([record("cam1/0.jpg", 99)])
    monkeypatch.setattr(module, "datetime", SetBack)
    pruned(out)
    monkeypatch.undo()
    with opened(out) as output:
        assert output.state(sample("cam1/0.jpg", 99)) == "done"
        assert output.state(sample("cam1/0.jpg", 100)) == "new"


@pytest.mark.parametrize("pattern", ["%H%M%S", "%m%d-%H%M%S", "%Y%m", "%y-%m-%d_%H%M"])
def test_a_pattern_without_a_whole_date_or_that_fits_no_name_is_refused(
    pattern: str, tmp_path: Path
) -> None:
    out = tmp_path / "masks.parquet"
    with opened(out) as output:
        output.commit([record("cam1_20200101-120000.jpg", 100)])
    why = "no image" if pattern.startswith("%y") else "whole date"
    for dry_run in (True, False):
        with pytest.raises(UsageError, match=why):
            pruned(out, time_pattern=pattern, dry_run=dry_run)
    assert keys(out) == ["cam1_20200101-120000.jpg"]


def test_an_age_from_before_the_calendar_is_refused_and_one_of_a_thousand_years_is_none(
    out: Path,
) -> None:
    for age in ("9999999d", "99999999999999d"):
        with pytest.raises(UsageError, match="shorter age"):
            CliRunner().invoke(
                app, ["prune", str(out), "--older-than", age], catch_exceptions=False
            )
    assert pruned(out, 400_000, dry_run=True).images == 0


def test_frames_of_pruned_clips_count_for_the_clip(tmp_path: Path) -> None:
    out = tmp_path / "masks.parquet"
    with opened(out) as output:
        output.commit([record(f"c.mp4#frame={n}", 100) for n in range(3)])
        output.commit([record("c.mp4#frame=3", 100, error="bad"), record("new.jpg", 0)])
    pruned(out)
    with opened(out) as output:
        assert output.inventory.rows_in("c.mp4") == (4, 1)


@pytest.mark.parametrize("parts_left", [True, False])
def test_pruned_images_of_an_archive_that_moves_are_skipped_by_every_later_run(
    parts_left: bool, out: Path
) -> None:
    pruned(out, 90 if parts_left else 0)
    moved = Settings({"source_root": "/moved", "min_score": 0.05}, {})
    copied = sample("cam1/0.jpg", 50)  # with the time of the copy
    with pytest.raises(UsageError, match="/archive"):
        opened(out, settings=moved)
    for n in range(3):
        with open_output(
            out, moved, carried={}, categories=CATEGORIES, same_source=n == 0
        ) as output:
            assert output.state(copied) == "done"
            assert output.state(replace(copied, size_bytes=101)) == "new"
            output.record_move()
            output.commit([record(f"cam3/{n}.jpg", 0)])
            assert output.state(copied) == "done"
    pruned(out, 0)  # from both places
    with opened(out, settings=moved) as output:
        assert output.state(copied) == "done"
        assert output.state(sample("cam3/0.jpg", 0)) == "done"
        assert output.state(sample("cam3/0.jpg", 1)) == "new"  # it has changed where it is


def test_pruned_keys_without_an_origin_go_by_the_times_of_files(out: Path) -> None:
    pruned(out)
    path = next(pruned_path(out).glob("*/keys.parquet"))
    table = pyarrow.parquet.read_table(path)
    facts = json.loads(table.schema.metadata[b"segcli_pruned"])
    del facts["origins"]  # an earlier segcli did not write them
    table = table.replace_schema_metadata({b"segcli_pruned": json.dumps(facts)})
    pyarrow.parquet.write_table(table, path)
    with opened(out) as output:
        assert output.state(sample("cam1/0.jpg", 100)) == "done"
        assert output.state(sample("cam1/0.jpg", 99)) == "new"


def test_pruned_keys_of_an_output_that_was_removed_stop_a_run(out: Path) -> None:
    pruned(out)
    shutil.rmtree(out)
    with pytest.raises(UsageError, match=r"masks.parquet.pruned still has the keys of 5 images"):
        opened(out)
    pruned_path(out).rename(out.with_name("old"))
    with opened(out) as output:
        assert output.state(sample("cam1/0.jpg", 100)) == "new"


def test_the_command_says_what_it_did(out: Path) -> None:
    told = CliRunner().invoke(app, ["prune", str(out), "--older-than", "90d"])
    assert told.exit_code == 0
    assert told.output.startswith("removed the rows of 5 images from before ")
    assert "(1 failed, 8 masks) in 3 parts; 3 images left" in told.output
    assert "pruned images  5" in CliRunner().invoke(app, ["status", str(out)]).output


def test_an_output_in_use_a_missing_one_and_one_without_counts_are_refused(out: Path) -> None:
    with lock_output(out), pytest.raises(Locked):
        pruned(out)
    with pytest.raises(UsageError, match="does not exist"):
        pruned(out.with_name("nothing"))
    assert not out.with_name(".nothing.lock").exists()
    pruned(out)
    with pytest.raises(UsageError, match="no counts"):
        kept_counts(out)
    next(pruned_path(out).glob("*/keys.parquet")).write_bytes(b"PAR1")
    with pytest.raises(UsageError, match="keys of images that were pruned"):
        opened(out)
    assert "keys of images that were pruned" in status(out).problems[0]


def test_static_images_count_with_the_masks_they_repeat_which_stay_as_long_as_they(
    tmp_path: Path,
) -> None:
    out = tmp_path / "m.parquet"
    with opened(out) as output:
        old = [record("a/0", 95, 2), replace(record("a/1", 94, 0), repeats="a/0")]
        output.commit([*old, record("b/0", 91, 1), replace(record("b/1", 89, 0), repeats="b/0")])
    found = pruned(out, keep_counts=True)
    assert (found.images, found.masks, found.left) == (2, 2, 2)
    assert keys(out) == ["b/0", "b/1"]
    assert sum(row["masks"] for row in kept_counts(out)) == 4
    of_cars = [row for row in kept_counts(out) if row["category"] == "car"]
    assert [(row["images"], row["static"]) for row in of_cars] == [(1, 0), (1, 1)]
