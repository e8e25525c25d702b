"""An output with partitions: each step of each command leaves it as whole as any other output."""

import os
import random
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from segcli.errors import UsageError
from segcli.retention import PruneOptions, prune
from segcli.store import Compacted, OtherSettings, compact, lock_output, part_paths, status
from segcli.store.directory import list_parts, refuse_among_parts
from segcli.store.verification import verify
from segcli.types import Record, Sample, Segment

BOTH = {"partition_by": "date,camera"}
DAYS = ("2026-11-26", "2026-11-27")


@pytest.fixture
def by_day(output, settings):
    """Opens the output with partitions."""
    return lambda **more: output(settings=settings(**BOTH), **more)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "masks.parquet"


@pytest.fixture(scope="module")
def record():
    """An image of 3 x 4 px with `masks` masks of all its px."""

    def made(key: str, masks: int = 1, *, version: int = 1) -> Record:
        at = Sample(key, f"/archive/{key}", size_bytes=100, mtime_ns=version)
        segments = [Segment(i % 2, 0.9, (0.0, 0.0, 4.0, 3.0), 12, b"0<") for i in range(masks)]
        return Record(at, 3, 4, segments)

    return made


def fill(by_day, record, hours: int) -> None:
    """Two cameras on two days, a part of two images for each in an hour."""
    for hour in range(hours):
        with by_day() as out:
            for day in DAYS:
                for camera in ("gate", "yard"):
                    folder = f"{camera}/{day}/{hour}"
                    out.commit([record(f"{folder}-0.jpg", 2), record(f"{folder}-1.jpg", 0)])


@pytest.fixture
def filled(by_day, record, path: Path) -> Path:
    fill(by_day, record, 3)
    return path


def rows(path: Path) -> list[dict]:
    found = ds.dataset(path).to_table().to_pylist()
    return sorted(found, key=lambda row: (row["key"], row["mask"] or 0))


def folders(path: Path) -> set[str]:
    return {name.rpartition("/")[0] for name in list_parts(path)}


FOLDERS = {f"date={day}/camera={camera}" for day in DAYS for camera in ("gate", "yard")}


def test_parts_are_in_the_folders_of_their_partitions(filled: Path, by_day, sample) -> None:
    assert folders(filled) == FOLDERS
    assert sorted(os.listdir(filled.parent)) == [".masks.parquet.lock", "masks.parquet"]
    assert status(filled).images == 24
    assert status(filled).settings["partition_by"] == "date,camera"
    with by_day() as out:
        assert (out.images, out.masks) == (24, 24)
        assert out.state(sample("gate/2026-11-26/1-0.jpg")) == "done"


def test_a_chunk_of_two_partitions_is_not_written(by_day, record, path: Path) -> None:
    with by_day() as out, pytest.raises(ValueError, match="unpack"):
        out.commit([record("gate/2026-11-26/a.jpg"), record("yard/2026-11-26/a.jpg")])
    assert not path.exists()


def test_a_changed_image_stays_in_its_part(filled: Path, by_day, record, sample) -> None:
    names = list_parts(filled)
    key = "gate/2026-11-26/1-0.jpg"
    with by_day() as out:
        assert out.state(sample(key, version=2)) == "changed"
        out.replace([record(key, 1, version=2)])
    assert list_parts(filled) == names
    assert len(rows(filled)) == 36 - 1


@pytest.mark.parametrize(
    ("what", "stride"), [("commit", 2), ("compact", 11), ("prune", 11), ("repair", 2)]
)
def test_killed_at_any_step_it_is_whole(
    what: str, stride: int, by_day, record, killed_at, tmp_path: Path, path: Path
) -> None:
    fill(by_day, record, 2 if what == "compact" else 1)
    before, kept, states = rows(path), tmp_path / "kept", set()
    shutil.copytree(path, kept)
    for step in count(random.Random(what).randrange(stride), stride):
        for name in ("masks.parquet", "masks.parquet.broken", "masks.parquet.pruned"):
            shutil.rmtree(tmp_path / name, ignore_errors=True)
        shutil.copytree(kept, path)
        if what == "repair":
            part = part_paths(path)[0]
            part.write_bytes(part.read_bytes()[:100])
        with killed_at(step, done=step % 2 == 0):
            died = dies(lambda: HOW[what](path, by_day, record))
        for lock in tmp_path.glob(".*.lock"):
            lock.unlink()  # the kernel releases the lock of a process that died
        states.add(len(list_parts(path)))
        assert what == "repair" or verify(path).is_intact
        HOW[what](path, by_day, record)  # finishes what was begun
        if what == "compact":
            assert rows(path) == before
        assert (len(list_parts(path)), sum(f.stat().st_size == 100 for f in part_paths(path))) == (
            AFTER[what],
            0,
        )
        if not died:
            break
    assert AFTER[what] in states
    assert len(states) > 1


def dies(work: Callable[[], object]) -> bool:
    """Whether the process was killed."""
    try:
        work()
    except BaseException as error:
        if type(error).__name__ != "Killed":
            raise
        return True
    return False


def _commit(path: Path, by_day, record) -> None:
    with by_day() as out:
        new = record("new/2027-01-01/a.jpg")
        if out.state(new.sample) == "new":
            out.commit([new])


HOW = {
    "commit": _commit,
    "compact": lambda path, *_: compact(path, images=100),
    "prune": lambda path, *_: prune(
        PruneOptions(out=path, older_than=-(10**9), time_pattern="%Y-%m-%d")
    ),
    "repair": lambda path, *_: verify(path, repair=True),
}


AFTER = {"commit": 5, "compact": 4, "prune": 1, "repair": 3}
"""The parts there are in the end."""


def test_the_first_part_appears_together_with_its_folders(
    by_day, record, killed_at, path: Path
) -> None:
    for step in count(0):
        shutil.rmtree(path, ignore_errors=True)
        with killed_at(step, done=True):
            died = dies(lambda: _commit(path, by_day, record))
        (path.parent / ".masks.parquet.lock").unlink(missing_ok=True)
        assert not path.exists() or len(part_paths(path)) == 1
        if not died:
            return


def test_compact_merges_within_partitions(filled: Path, by_day) -> None:
    before = rows(filled)
    assert compact(filled, images=100) == Compacted(before=12, after=4, images=24)
    assert folders(filled) == FOLDERS
    assert rows(filled) == before
    with by_day() as out:
        assert out.images == 24


def test_prune_removes_partitions_and_keeps_an_empty_part(
    filled: Path, by_day, record, sample
) -> None:
    options = PruneOptions(out=filled, older_than=-(10**9), time_pattern="%Y-%m-%d")
    prune(options)
    assert folders(filled) == {"date=2026-11-26/camera=gate"}
    assert os.listdir(filled) == ["date=2026-11-26"]
    assert pq.read_table(filled).num_rows == 0
    with by_day() as out:
        assert out.state(sample("gate/2026-11-26/1-0.jpg")) == "done"
        out.commit([record("gate/2026-11-28/a.jpg")])
    with lock_output(filled):
        pass
    assert status(filled).images == 1
    assert len(part_paths(filled)) == 2


def test_other_partitions_are_refused_and_the_message_says_what_to_do(
    filled: Path, output, settings, record
) -> None:
    for given in (
        {},
        {"partition_by": "date"},
        {**BOTH, "time_pattern": "%Y"},
    ):
        with pytest.raises(
            OtherSettings, match=r"give `partition_by='date,camera'` without `time_pattern`"
        ):
            output(settings=settings(**given))
    with output("plain.parquet") as out:
        out.commit([record("gate/2026-11-28/a.jpg")])
    with pytest.raises(OtherSettings, match="leave out `partition_by`, as before"):
        output("plain.parquet", settings=settings(**BOTH))


def test_a_part_in_another_partition_is_found_and_moved_aside(filled: Path, by_day) -> None:
    part = next((filled / "date=2026-11-26/camera=gate").iterdir())
    other = filled / "date=2026-11-27/camera=gate" / part.name
    part.rename(other)
    found = verify(filled)
    assert [p.problem for p in found.problems] == [
        "its partition is date=2026-11-26/camera=gate"
    ] * 2
    assert verify(filled, repair=True).is_intact
    aside = filled.with_name("masks.parquet.broken")
    assert [p.relative_to(aside) for p in aside.rglob("*.parquet")] == [other.relative_to(filled)]
    with by_day() as out:
        assert out.images == 22


def test_parts_with_and_without_partitions_are_not_one_output(filled: Path) -> None:
    shutil.copy(part_paths(filled)[0], filled)
    with pytest.raises(UsageError, match="same partitions"):
        part_paths(filled)
    assert "same partitions" in status(filled).problems[0]
    found = verify(filled)
    assert not found.is_intact
    assert {p.problem for p in found.problems if p.key} >= {
        "its partition is date=2026-11-26/camera=gate"
    }


@pytest.mark.parametrize("name", ["date=2026-11-26/note.txt", "camera=x", "year=2026/a.txt"])
def test_nothing_else_may_be_in_it(filled: Path, name: str) -> None:
    (filled / name).parent.mkdir(exist_ok=True)
    (filled / name).touch()
    with pytest.raises(UsageError, match="which is not a part"):
        part_paths(filled)


def test_nothing_is_written_into_a_partition(filled: Path) -> None:
    for place in (filled, filled / "date=2026-11-26", filled / "date=2026-11-26/camera=gate"):
        with pytest.raises(UsageError, match="an output, which may contain only parts"):
            refuse_among_parts(place / "pictures", "`out`")


def test_a_partition_that_cannot_be_read_is_a_problem_and_no_traceback(filled: Path) -> None:
    loop = filled / "date=2026-11-28"
    loop.symlink_to(loop.name)
    with pytest.raises(UsageError, match="cannot read .*symbolic links"):
        part_paths(filled)
    found = status(filled)
    assert (found.images, len(found.problems)) == (24, 1)
    assert [p.part for p in verify(filled).problems] == [None]


def test_empty_partitions_are_not_noticed(filled: Path) -> None:
    (filled / "date=2030-01-01").mkdir()
    assert len(pq.read_table(filled)) == 36
    assert folders(filled) == FOLDERS


def test_empty_partitions_do_not_hide_that_a_folder_is_an_output(filled: Path) -> None:
    for day in range(10, 30):
        (filled / f"date=2026-10-{day}" / "camera=gate").mkdir(parents=True)
    with pytest.raises(UsageError, match="is inside .*, an output"):
        refuse_among_parts(filled / "new.parquet", "`out`")


def test_cameras_that_differ_by_case_may_share_a_folder(by_day, record, path: Path) -> None:
    """As on a file system that ignores case, where the folder has the name of the first of them."""
    with by_day() as out:
        for camera in ("Gate", "gate"):
            out.commit([record(f"{camera}/2026-11-26/0.jpg")])
    expected, day = rows(path), path / "date=2026-11-26"
    for part in (day / "camera=gate").iterdir():
        part.rename(day / "camera=Gate" / part.name)
    (day / "camera=gate").rmdir()
    assert verify(path).is_intact
    assert compact(path, images=9).after == 1
    assert verify(path).is_intact
    assert rows(path) == expected
    with by_day() as out:
        out.replace([record("gate/2026-11-26/0.jpg", version=2)])
        out.commit([record("gate/2026-11-26/1.jpg")])
        assert out.images == 3
