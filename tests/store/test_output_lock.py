"""Shards beside each other in one output; undivided runs alone in it."""

import os
import threading
from dataclasses import replace
from itertools import islice

import pytest

from segcli.errors import Locked, UsageError
from segcli.store import ShardSpec, open_output, read_images

CATEGORIES = (("person", "car"), (1, 3))


@pytest.fixture
def shard(tmp_path, settings):
    """Opens shard "I/N" of `masks.parquet`."""

    def opened(text, *, wait=False, **compared):
        given = replace(settings(**compared), shard=text)
        return open_output(
            tmp_path / "masks.parquet", given, carried={}, categories=CATEGORIES, wait=wait
        )

    return opened


def own(split, count=4):
    """The first `count` keys of a shard."""
    found = (f"{n}.jpg" for n in range(10_000))
    return list(islice((key for key in found if key in ShardSpec.parse(split)), count))


def done(path):
    return sorted(key for batch in read_images(path) for key in batch["key"].to_pylist())


@pytest.mark.slow
def test_shards_write_beside_each_other_into_one_data_set(shard, record, sample, tmp_path):
    with shard("0/2") as first, shard("1/2") as second:
        for out, split in ((first, "0/2"), (second, "1/2"), (first, "0/2")):
            keys = [k for k in own(split) if out.state(sample(k)) == "new"][:2]
            out.commit([record(key) for key in keys])
    assert done(tmp_path / "masks.parquet") == sorted([*own("0/2"), *own("1/2", 2)])
    with shard("0/2") as first:
        assert len(first.done) == 4, "only its own keys are kept in memory"
        assert {first.state(sample(key)) for key in own("0/2")} == {"done"}


def test_a_shard_that_runs_already_and_an_undivided_run_are_locked_out(shard, output):
    with shard("0/2"):
        with pytest.raises(Locked, match=r"is using shard 0/2 of .*process \d+") as caught:
            shard("0/2")
        assert caught.value.exit_code == 4
        with pytest.raises(Locked, match="one of its shards, see `shard`"):
            output()
    with output(), pytest.raises(Locked, match=r"process \d+"):
        shard("0/2")


def test_shards_of_another_number_wait_for_the_end(shard):
    held = shard("0/2")
    with pytest.raises(Locked, match="a run in 2 shards is using"):
        shard("1/3")
    timer = threading.Timer(0.3, held.close)
    timer.start()
    shard("1/3", wait=True).close()
    timer.join()
    shard("0/2").close()


def test_a_shard_removes_its_own_staging_and_an_undivided_run_everything(shard, output, tmp_path):
    home = tmp_path / ".masks.parquet.shards"
    for name in ("0-of-2.staging", "1-of-2.staging"):
        (home / name / "part-x").mkdir(parents=True)
    with shard("0/2"):
        assert {*os.listdir(home)} == {"0-of-2.lock", "1-of-2.staging"}
    output().close()
    assert {*os.listdir(tmp_path)} == {".masks.parquet.lock"}


def test_two_first_parts_at_one_moment_both_arrive(shard, record, tmp_path):
    with shard("0/2") as first, shard("1/2") as second:
        barrier = threading.Barrier(2)

        def commit(out, split):
            barrier.wait()
            out.commit([record(key) for key in own(split)])

        threads = [
            threading.Thread(target=commit, args=pair) for pair in ((first, "0/2"), (second, "1/2"))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert done(tmp_path / "masks.parquet") == sorted([*own("0/2"), *own("1/2")])


def test_a_directory_that_appears_while_the_first_part_is_renamed_is_joined(
    output, record, tmp_path, monkeypatch
):
    path, rename = tmp_path / "masks.parquet", os.rename

    def overtaken(source, target):
        path.mkdir()
        (path / f"part-{'0' * 32}.parquet").write_bytes(b"of a faster one")
        rename(source, target)

    monkeypatch.setattr(os, "rename", overtaken)
    with output() as out:
        part = out.commit([record("a")])
    assert {*os.listdir(path)} == {part.name, f"part-{'0' * 32}.parquet"}


@pytest.mark.parametrize(
    ("compared", "told"),
    [
        ({"precision": "bfloat16"}, "`precision`: none there, bfloat16 now"),
        ({"root": "/elsewhere"}, "was made from /archive, now given /elsewhere"),
    ],
)
def test_shards_that_began_together_with_other_settings_do_not_mix(
    shard, record, tmp_path, compared, told
):
    with shard("0/2") as first, shard("1/2", **compared) as second:
        first.commit([record(key) for key in own("0/2")])
        with pytest.raises(UsageError, match=told):
            second.commit([record(key) for key in own("1/2")])
    assert done(tmp_path / "masks.parquet") == sorted(own("0/2"))
    assert not (tmp_path / ".masks.parquet.shards/1-of-2.staging").exists()


def test_shards_replace_their_images_in_a_part_that_they_share(shard, output, record, tmp_path):
    """Read, changed, written: without turns the one would undo the other."""
    mine, theirs = own("0/2"), own("1/2")
    with output() as out:
        out.commit([record(key) for key in mine + theirs])
    start = threading.Barrier(2)

    def redo(out, keys):
        start.wait()
        for key in keys:
            out.replace([record(key, 3, version=2)])

    with shard("0/2") as first, shard("1/2") as second:
        assert len(first.done) == len(second.done) == 4
        threads = [
            threading.Thread(target=redo, args=pair) for pair in ((first, mine), (second, theirs))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    images = [row for batch in read_images(tmp_path / "masks.parquet") for row in batch.to_pylist()]
    assert sorted(row["key"] for row in images) == sorted(mine + theirs)
    assert {(row["masks"], row["mtime_ns"]) for row in images} == {(3, 2)}
