"""Tracking an output: again and again, across clips, after kills, and as a copy."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from scripts.studies.tracking import (
    CATEGORIES,
    Faults,
    Walker,
    detections,
    line,
    read_tracks,
    records,
    write,
)
from segcli.errors import UsageError
from segcli.keys import split_frame
from segcli.retention import PruneOptions, prune
from segcli.store import Output, Settings, compact, open_output, read_images
from segcli.store.part_file import read_footer
from segcli.store.place import Disk
from segcli.track import Rules, TrackOptions, TrackSummary, track
from segcli.types import Record

WALKERS = [Walker(line(40, 60, 28)), Walker(line(360, 180, -28)), Walker(line(60, 120, 20))]
DAY_S = 86400
Partition = set[frozenset[tuple[str, bytes]]]


def scene(
    clip: str = "cam/20260401_080000.mp4", walkers: Sequence[Walker] = WALKERS
) -> list[Record]:
    """40 frames, of which every 7th is without a detection."""
    frames = detections(walkers, Faults(missed=0.1), until=4)
    return records([(f, [] if f % 7 == 3 else seen) for f, _, seen in frames], clip)


def go(path: Path, **options: Any) -> TrackSummary:
    return track(TrackOptions(masks=path, **options), report=lambda _: None)


def opened(path: Path) -> Output:
    settings = Settings({"source_root": "/scene", "default_score": 0.5}, {})
    return open_output(path, settings, carried={}, categories=CATEGORIES)


def partition(path: Path) -> Partition:
    """The masks of each track, without its number."""
    found: dict[int, set[tuple[str, bytes]]] = {}
    for key, masks in read_tracks(path).items():
        for number, rle in masks:
            found.setdefault(number, set()).add((key, rle))
    return {frozenset(masks) for masks in found.values()}


@pytest.fixture(scope="module")
def rows() -> list[Record]:
    return scene()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "masks.parquet"


@pytest.fixture(scope="module")
def whole(rows: list[Record], tmp_path_factory: pytest.TempPathFactory) -> Partition:
    """The tracks of all frames, tracked at once."""
    path = tmp_path_factory.mktemp("whole") / "masks.parquet"
    write(path, rows)
    done = go(path)
    assert (done.images, done.tracks) == (40, 3)
    return partition(path)


def test_a_rerun_changes_nothing(path: Path, rows: list[Record]) -> None:
    write(path, rows)
    first = go(path)
    there = {part.name: part.read_bytes() for part in path.iterdir()}
    second = go(path)
    assert (first.images, second.images) == (40, 0)
    assert there == {part.name: part.read_bytes() for part in path.iterdir()}
    assert not list(path.parent.glob(".*.staging"))


def test_many_passes_find_the_tracks_of_one(
    path: Path, rows: list[Record], whole: Partition
) -> None:
    for begin, end in ((0, 1), (1, 2), (2, 9), (9, 40)):  # the first masks wait for a second frame
        write(path, rows[begin:end])
        go(path)
    assert partition(path) == whole
    states = [part for part in path.iterdir() if read_footer(part).tracking is not None]
    assert len(states) == 1


def test_parts_in_any_order(path: Path, rows: list[Record], whole: Partition) -> None:
    write(path, rows[1::3], rows[::3], rows[2::3])
    go(path)
    assert partition(path) == whole


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_killed_pass_is_repeated_with_the_same_numbers(
    path: Path, rows: list[Record], monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    write(path, rows[:10], rows[10:20], rows[20:30])
    go(path, rules=Rules(min_frames=1))
    write(path, rows[30:35], rows[35:])
    undisturbed = path.with_name("undisturbed.parquet")
    write(undisturbed, rows[:10], rows[10:20], rows[20:30])
    go(undisturbed, rules=Rules(min_frames=1))
    write(undisturbed, rows[30:35], rows[35:])
    go(undisturbed, rules=Rules(min_frames=1))
    count = 0
    replace = Disk.replace

    def dies(self: Disk, *args: Any) -> None:
        nonlocal count
        count += 1
        if count == steps:
            raise KeyboardInterrupt
        replace(self, *args)

    monkeypatch.setattr(Disk, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        go(path, rules=Rules(min_frames=1))
    monkeypatch.undo()
    go(path, rules=Rules(min_frames=1))
    assert read_tracks(path) == read_tracks(undisturbed)


def test_tracks_go_on_in_the_next_clip(path: Path, rows: list[Record], whole: Partition) -> None:
    """The same frames in two clips, whose names state when they began."""
    later = records([(n, []) for n in range(20)], "cam/20260401_080002.mp4")
    second = [
        Record(one.sample, old.height, old.width, old.segments)
        for one, old in zip(later, rows[20:], strict=True)
    ]
    write(path, rows[:20], second)
    done = go(path)
    assert (done.tracks, done.timeless) == (3, 0)
    sizes = sorted(len(track) for track in partition(path))
    assert sizes == sorted(len(track) for track in whole)


def test_clips_without_a_time_are_tracked_apart(path: Path, rows: list[Record]) -> None:
    write(path, scene("cam/a.mp4"), scene("cam/b.mp4"))
    done = go(path)
    assert (done.tracks, done.timeless) == (6, 2)


def test_times_recognised_later_do_not_change_tracks(path: Path, rows: list[Record]) -> None:
    samples = [one.sample for one in records([(n, []) for n in range(10)], "cam/test.mp4")]
    test = [replace(one, sample=s) for one, s in zip(rows, samples, strict=False)]
    write(path, test, rows[:10])
    assert go(path).tracks == 6
    before = read_tracks(path)
    later = [(n, []) for n in range(20)]
    write(path, *(records(later, f"cam/20260401_0{hour}0000.mp4") for hour in range(1, 6)))
    assert (go(path).images, read_tracks(path)) == (100, before)
    go(path, restart=True)  # looks again
    with pytest.raises(UsageError, match=r"%H.*`restart`"):
        go(path, time_pattern="%Y")


def test_cameras_are_tracked_apart(path: Path) -> None:
    names = ("north/20260401_080000.mp4", "south/20260401_080000.mp4")
    write(path, *map(scene, names))
    assert go(path).tracks == 6
    files = {split_frame(key)[0] for track in partition(path) for key, _ in track}
    assert files == set(names)


def test_a_frame_with_a_damaged_time_is_tracked_once(path: Path, rows: list[Record]) -> None:
    damaged = replace(rows[20], sample=replace(rows[20].sample, time_s=1e15))
    write(path, [*rows[:20], damaged, *rows[21:]])
    assert [go(path).images for _ in range(2)] == [40, 0]


def test_stills_whose_names_do_not_state_a_camera_are_tracked_once(
    path: Path, rows: list[Record]
) -> None:
    names = [*(f"still-{number:02}.jpg" for number in range(9)), "c1_0.jpg"]
    stills = [
        replace(one, sample=replace(one.sample, key=name, frame=None, time_s=None))
        for one, name in zip(rows, names, strict=False)
    ]
    write(path, stills)
    assert go(path, time_pattern="%(camera)_").images == 10
    assert go(path, time_pattern="%(camera)_").images == 0


def test_late_images_are_counted_and_tracked_by_a_restart(
    path: Path, rows: list[Record], whole: Partition
) -> None:
    write(path, rows[:10], rows[20:])
    go(path)
    write(path, rows[10:20])
    assert (late := go(path)).late == 10
    assert late.images == 0
    go(path, restart=True)
    assert partition(path) == whole


@pytest.mark.parametrize("how", ["prune", "remove", "compact"])
def test_late_images_are_counted_although_others_have_left(
    path: Path, rows: list[Record], how: str
) -> None:
    old = scene("cam/20250101_080000.mp4")
    write(path, old, rows[:10], rows[20:])
    go(path)
    write(path, rows[10:20])
    if how == "prune":
        prune(PruneOptions(out=path, older_than=300 * DAY_S, time_pattern="cam/%Y%m%d_%H%M%S"))
    elif how == "remove":
        with opened(path) as output:
            for name in [part.name for part in path.iterdir()]:
                output.remove(name, [one.sample.key for one in old])
    else:
        compact(path, images=1000)
        assert len([*path.iterdir()]) == 2  # one that has been tracked, and one that has not
    assert [go(path).late for _ in range(2)] == [10, 0]


def test_late_images_are_reported_whenever_a_pass_is_killed(
    path: Path, rows: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(path, rows[:10], rows[20:30])
    go(path)
    write(path, rows[10:15], rows[15:20], rows[30:])
    start, seen = path.with_name("start"), []
    shutil.copytree(path, start)
    replace_part = Disk.replace
    for last in range(1, 20):
        shutil.rmtree(path)
        shutil.copytree(start, path)
        left = last

        def dies(self: Disk, *args: Any) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            replace_part(self, *args)

        with monkeypatch.context() as patch:
            patch.setattr(Disk, "replace", dies)
            try:
                assert go(path).late == 10
                break
            except KeyboardInterrupt:
                pass
        seen.append(go(path).late)
        assert go(path).late == 0
    assert seen == [10, 10, 10, 10, 5]  # the last one had counted one of the two parts


def test_failed_images_that_succeed_later_are_counted_unless_they_are_the_last(
    path: Path, rows: list[Record]
) -> None:
    failed = [Record(rows[n].sample, None, None, (), "still being written") for n in (4, 39)]
    write(path, [*rows[:4], failed[0]], [*rows[5:39], failed[1]])
    go(path)
    with opened(path) as output:
        output.replace([rows[4], rows[39]])
    assert ((done := go(path)).images, done.changed, done.late) == (1, 1, 0)
    assert go(path).changed == 0


def test_a_copy_follows_the_output(path: Path, rows: list[Record], whole: Partition) -> None:
    out = path.with_name("tracked.parquet")
    write(path, rows[:15])
    go(path, out=out)
    assert partition(path) == set()
    write(path, rows[15:])
    assert go(path, out=out).images == 25
    assert partition(out) == whole
    assert go(path, out=out).images == 0
    first = (
        pq.read_table(path)
        .drop_columns("track_id")
        .sort_by([("key", "ascending"), ("mask", "ascending")])
    )
    second = (
        pq.read_table(out)
        .drop_columns("track_id")
        .sort_by([("key", "ascending"), ("mask", "ascending")])
    )
    assert first.replace_schema_metadata(None).equals(second.replace_schema_metadata(None))


def test_rows_that_changed_are_copied_again(path: Path, rows: list[Record]) -> None:
    out = path.with_name("tracked.parquet")
    write(path, rows)
    go(path, out=out)
    changed = [
        replace(one, sample=replace(one.sample, mtime_ns=2), segments=()) for one in rows[:5]
    ]
    with opened(path) as output:
        output.replace(changed)
    assert go(path, out=out).changed == 4  # one of them was without masks
    images = [row for batch in read_images(out) for row in batch.to_pylist()]
    assert len(images) == 40
    assert sum(row["mtime_ns"] == 2 and row["masks"] == 0 for row in images) == 5


def test_images_that_were_pruned_from_a_copy_come_back_when_they_change(
    path: Path, rows: list[Record]
) -> None:
    out = path.with_name("tracked.parquet")
    write(path, rows[:20])
    go(path, out=out)
    prune(PruneOptions(out=out, older_than=DAY_S))
    write(path, rows[20:])
    assert go(path, out=out).images == 20
    with opened(path) as output:
        output.replace([replace(rows[5], sample=replace(rows[5].sample, mtime_ns=2))])
    go(path, out=out)
    images = [row["key"] for batch in read_images(out) for row in batch.to_pylist()]
    assert sorted(images) == sorted(one.sample.key for one in [rows[5], *rows[20:]])
    shutil.rmtree(out)
    with pytest.raises(UsageError, match=r"tracked.parquet.pruned still has the keys of 20 images"):
        go(path, out=out)


def test_images_that_lost_their_ids_are_counted_once(path: Path, rows: list[Record]) -> None:
    write(path, rows[:10], rows[10:20])
    go(path)
    with opened(path) as output:
        output.replace(rows[8:13])  # of which one, the 11th, is without masks
    compact(path, images=1000)
    write(path, rows[20:])
    assert go(path).changed == 4
    assert go(path).changed == 0
    go(path, restart=True)
    assert go(path).changed == 0


def test_compact_keeps_where_tracks_ended(path: Path, rows: list[Record], whole: Partition) -> None:
    write(path, rows[:10], rows[10:20])
    go(path)
    compact(path, images=1000)
    write(path, rows[20:])
    assert go(path).images == 20
    assert partition(path) == whole


def test_removing_the_images_of_the_part_with_the_state_keeps_it(
    path: Path, rows: list[Record]
) -> None:
    write(path, rows[:10], rows[10:20])
    go(path)
    (holder,) = [part for part in path.iterdir() if read_footer(part).tracking is not None]
    with opened(path) as output:
        output.remove(holder.name, [one.sample.key for one in rows[10:20]])
    write(path, rows[20:])
    assert go(path).images == 20
    assert max(number for masks in read_tracks(path).values() for number, _ in masks) >= 3


def test_other_options_are_refused(path: Path, rows: list[Record]) -> None:
    write(path, rows)
    go(path)
    with pytest.raises(UsageError, match="`max_gap` 3s there, 5s now; `min_frames` 2 there, 4 now"):
        go(path, rules=Rules(max_gap=5, min_frames=4))
    with pytest.raises(UsageError, match="`strong_score` not given there, 0.5 now"):
        go(path, min_score=0.5)
    with pytest.raises(UsageError, match="--time-column 'when'"):
        go(path, rules=Rules(max_gap=5), time_column="when")
    go(path, rules=Rules(max_gap=5), restart=True)
    go(path, rules=Rules(max_gap=5))


def test_a_time_pattern_that_fits_no_name_is_refused(path: Path, rows: list[Record]) -> None:
    write(path, rows)
    with pytest.raises(UsageError, match="'x%Y' gives no image of .* a time or a camera"):
        go(path, time_pattern="x%Y")


def test_what_cannot_be_tracked_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        go(tmp_path / "nothing.parquet")
