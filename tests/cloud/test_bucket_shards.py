"""Shards of one run that share an output in a bucket."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from cloud.conftest import CATEGORIES, die, images, png, record, run

from segcli.api import read
from segcli.errors import Locked
from segcli.store import (
    OtherSettings,
    Output,
    Settings,
    ShardSpec,
    lease,
    lock_output,
    open_output,
    part_paths,
    status,
)

KEYS = [f"{number}.png" for number in range(12)]
OWN = {index: [key for key in KEYS if key in ShardSpec(index, 2)] for index in (0, 1)}


@pytest.fixture
def out(out: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("segcli.store.part_writer._PAUSE_S", 0.05)
    return out


def opened(out: str, index: int | None, weights: str = "a") -> Output:
    shard = None if index is None else f"{index}/2"
    settings = Settings({"source_root": "/a", "weights": weights}, {}, shard=shard)
    return open_output(Path(out), settings, carried={}, categories=CATEGORIES)


def together(*calls: Any) -> list[BaseException]:
    """What the calls raise, made at the same time in threads."""
    barrier, raised = threading.Barrier(len(calls)), list[BaseException]()

    def make(call: Any) -> None:
        barrier.wait()
        try:
            call()
        except Exception as error:
            raised.append(error)

    threads = [threading.Thread(target=make, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def test_shards_make_the_output_of_one_run(out: str, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for key in KEYS:
        (folder / key).write_bytes(png(len(key)))
    assert run(folder, out, shard="0/2", chunk_size=2).images == len(OWN[0])
    assert run(folder, out, shard="1/2", chunk_size=2).images == len(OWN[1])
    assert run(folder, out).images == 0
    assert run(folder, out, shard="0/3").images == 0
    assert images(out) == sorted(KEYS)
    (folder / KEYS[0]).write_bytes(png(99) + b"changed")
    assert sum(run(folder, out, shard=f"{n}/2").redone for n in (0, 1)) == 1


def test_who_excludes_whom(out: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "LEASE_S", 3.0)  # enough for a renewal on a busy machine
    with opened(out, 0) as output, opened(out, 1):
        output.commit([record(OWN[0][0])])
        assert status(Path(out)).writer == {"shards": True}
        with pytest.raises(Locked, match="shards of a run work on s3://"):
            lock_output(Path(out))
        with pytest.raises(Locked, match="a run in 2 shards is using"):
            lock_output(Path(out), shard="0/3")
        with pytest.raises(Locked, match="another process works on shard 0/2 of"):
            lock_output(Path(out), shard="0/2")
    with lock_output(Path(out)), pytest.raises(Locked, match="a run without `shard` works on"):
        lock_output(Path(out), shard="0/2")
    # One that waits gets it when the other has ended.
    whole = lock_output(Path(out))
    threading.Timer(0.5, whole.close).start()
    lock_output(Path(out), shard="0/2", wait=True).close()


def test_of_a_shard_and_a_whole_run_at_once_at_most_one_works(
    out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LEASE_S", 3.0)
    taken = []

    def take(shard: str | None) -> None:
        taken.append(lock_output(Path(out), shard=shard))

    refused = together(*(lambda shard=shard: take(shard) for shard in (None, "0/2", "0/3")))
    assert len(taken) <= 1
    assert all(isinstance(error, Locked) for error in refused)
    for lock in taken:
        lock.close()


def test_a_killed_shard_is_followed_and_fenced(out: str) -> None:
    dead = opened(out, 0)
    dead.commit([record(OWN[0][0])])
    die(dead)
    start = time.monotonic()
    with opened(out, None) as output:
        assert time.monotonic() - start >= lease.LEASE_S * 0.9
        assert output.images == 1
        with pytest.raises(Locked, match="has taken over"):
            dead.commit([record(OWN[0][1])])


def test_the_first_commit_decides_the_settings(out: str) -> None:
    with opened(out, 0, "a") as one, opened(out, 1, "b") as other:
        raised = together(
            lambda: one.commit([record(OWN[0][0])]), lambda: other.commit([record(OWN[1][0])])
        )
    (error,) = raised
    assert isinstance(error, OtherSettings)
    assert len(part_paths(Path(out))) == 1


def test_shards_rewrite_one_part_at_the_same_time(out: str) -> None:
    with opened(out, None) as output:
        output.commit([record(key) for key in KEYS])
    with opened(out, 0) as one, opened(out, 1) as other:
        raised = together(
            *(
                lambda output=output, index=index: output.replace(
                    [record(key, 2) for key in OWN[index]]
                )
                for index, output in enumerate((one, other))
            )
        )
    assert raised == []
    assert images(out) == sorted(KEYS)
    assert {row["size_bytes"] for row in read(out)} == {2}
