import errno
import os
import shutil
from dataclasses import replace
from itertools import count

import pyarrow.parquet as pq
import pytest

from segcli.errors import Locked, OutputError, UsageError
from segcli.store import Compacted, ShardSpec, compact, read_images, read_settings
from segcli.store.part_file import read_footer


def rows(path):
    """All rows, in an order of their own."""
    found = pq.read_table(path).to_pylist()
    return sorted(found, key=lambda row: (row["key"], row["mask"] or 0))


@pytest.fixture
def small_parts(output, record, tmp_path):
    """Six parts of two images, as hourly runs leave them."""
    for hour in range(6):
        with output() as out:
            out.commit([record(f"{hour}/a", 2), record(f"{hour}/b", error="bad")])
    return tmp_path / "masks.parquet"


def test_rows_and_what_a_resume_knows_stay_the_same(small_parts, output, record, sample):
    before = rows(small_parts)
    assert compact(small_parts, images=6) == Compacted(before=6, after=2, images=12)
    assert rows(small_parts) == before
    assert sorted(read_footer(p).images for p in small_parts.iterdir()) == [6, 6]
    assert sorted(os.listdir(small_parts.parent)) == [".masks.parquet.lock", "masks.parquet"]
    with output() as out:
        assert (out.images, out.failed, out.masks) == (12, 6, 12)
        assert out.state(sample("3/a")) == "done"
        assert out.state(sample("3/b")) == "failed"
        assert out.state(sample("3/a", version=2)) == "changed"
        out.replace([record("3/b", 1), record("5/b", 1)])
        out.commit([record("new")])
        assert (out.images, out.failed) == (13, 4)
    assert compact(small_parts, images=100) == Compacted(before=3, after=1, images=13)
    assert len(rows(small_parts)) == len(before) + 1


def test_larger_parts_stay_as_they_are(small_parts, output, record):
    with output() as out:
        large = out.commit([record(f"large/{n}") for n in range(10)])
    inode = large.stat().st_ino
    assert compact(small_parts, images=8).after == 3
    assert large.stat().st_ino == inode
    names = sorted(os.listdir(small_parts))
    assert compact(small_parts, images=8) == Compacted(before=3, after=3, images=22)
    assert sorted(os.listdir(small_parts)) == names


def test_sources_and_shards_are_kept_apart_where_they_matter(output, record, settings, tmp_path):
    path = tmp_path / "masks.parquet"
    for prefix in ("a/", "b/"):
        for number in range(2):
            with output(settings=settings(prefix=prefix)) as out:
                out.commit([record(f"{prefix}{number}")])
    assert compact(path, images=100).after == 2
    assert sorted(read_footer(p).settings.key_prefix for p in path.iterdir()) == ["a/", "b/"]
    keys = {i: next(f"{n}" for n in range(99) if f"{n}" in ShardSpec(i, 2)) for i in range(2)}
    other = tmp_path / "shards.parquet"
    for index, key in keys.items():
        with output("shards.parquet", settings=replace(settings(), shard=f"{index}/2")) as out:
            out.commit([record(key)])
    assert compact(other, images=100).after == 1
    (part,) = other.iterdir()
    assert read_footer(part).settings.shard is None, "a part of both shards is no shard's own"
    with output("shards.parquet", settings=replace(settings(), shard="1/2")) as out:
        assert len(out.done) == 1


def test_a_run_is_not_disturbed(small_parts, output):
    with output(), pytest.raises(Locked):
        compact(small_parts, images=100)


def test_what_is_no_output_is_refused(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        compact(tmp_path / "missing.parquet", images=100)
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_killed_at_any_moment_either_state_is_there_whole(small_parts, output, killed_at, tmp_path):
    before, left = rows(small_parts), {}
    for step in count():
        for done in (False, True):
            path = tmp_path / f"{step}{done}.parquet"
            shutil.copytree(small_parts, path)
            with killed_at(step, done):
                try:
                    compact(path, images=4)
                    left[step, done] = "ended"
                except BaseException as e:
                    if type(e).__name__ != "Killed":
                        raise
                    left[step, done] = len(os.listdir(path))
            assert rows(path) == before
            with output(path.name) as out:  # the next run goes on
                assert out.images == 12
            assert not (tmp_path / f".{path.name}.staging").exists()
        if left[step, True] == "ended":
            break
    assert {*left.values()} == {6, 3, "ended"}, "killed before the exchange, after it, not at all"


def test_a_full_disk_leaves_it_as_it_was(small_parts, monkeypatch):
    names = sorted(os.listdir(small_parts))

    def full(fd, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OutputError, match="No space left on device; it is as it was"):
            compact(small_parts, images=100)
    assert sorted(os.listdir(small_parts)) == names
    assert read_settings(small_parts)["source_root"] == "/archive"
    assert sum(batch.num_rows for batch in read_images(small_parts)) == 12
