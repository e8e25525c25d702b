"""Old images are pruned from an output in a bucket, and a kill loses none of them."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cloud.conftest import Store, images, opened, record
from cloud.killing import Killed, until

from segcli.cloud import writing
from segcli.cloud.objects import list_objects
from segcli.errors import Locked, OutputError, UsageError
from segcli.retention import Pruned, PruneOptions, kept_counts, prune
from segcli.store import Compacted, bucket_place, compact, lease, pruned_files, status
from segcli.store import output_lock as lock_module
from segcli.store.verification import verify
from segcli.types import Record, Sample

DAY_S = 86400
NOW_S = int(time.time())


def aged(key: str, days: float) -> Record:
    sample = Sample(key, f"/a/{key}", size_bytes=1, mtime_ns=int((NOW_S - days * DAY_S) * 1e9))
    return replace(record(key), sample=sample)


OLD = [aged("old/0.png", 100), aged("old/1.png", 100), aged("old/2.png", 99)]
NEW = [aged("new/0.png", 1), aged("new/1.png", 1)]
KEPT = ["new/0.png", "new/1.png"]


@pytest.fixture
def parts(out: str) -> str:
    """Parts of old images, of an old and a new one, and of a new one."""
    with opened(out) as output:
        for some in (OLD[:2], [OLD[2], NEW[0]], [NEW[1]]):
            output.commit(some)
    return out


def pruned(out: str, days: float = 90, **more: Any) -> Pruned:
    return prune(PruneOptions(out=Path(out), older_than=days * DAY_S, keep_counts=True, **more))


def counts(out: str) -> tuple[int, int]:
    found = status(Path(out))
    assert not found.problems
    return found.images, found.pruned


def test_old_rows_go_and_a_run_skips_the_images(parts: str) -> None:
    would = pruned(parts, dry_run=True)
    assert (would.images, would.masks, would.parts, would.left) == (3, 3, 2, 2)
    assert counts(parts) == (5, 0)
    with pytest.raises(UsageError, match="no counts"):
        kept_counts(Path(parts))
    assert replace(pruned(parts), before=would.before) == would
    assert (images(parts), counts(parts)) == (KEPT, (2, 3))
    assert verify(Path(parts)).is_intact
    with opened(parts) as output:
        assert {output.state(one.sample) for one in (*OLD, *NEW)} == {"done"}
        assert output.state(aged("old/0.png", 99).sample) == "new"  # the file has changed
    assert sum(row["masks"] for row in kept_counts(Path(parts))) == 3
    assert pruned(parts).images == 0
    assert pruned(parts, 0).images == 2
    assert counts(parts) == (0, 5)  # the settings stay


def test_a_kill_at_any_request_loses_nothing_and_counts_nothing_twice(
    parts: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the keys are put, between the two changes of parts, and before the mark at the end;
    the other two steps leave the states of their neighbours."""
    seen = []
    for at in (1, 3, 4):
        folder = f"{store.bucket()}/m.parquet"
        with opened(folder) as output:
            for some in (OLD[:2], [OLD[2], NEW[0]], [NEW[1]]):
                output.commit(some)
        with monkeypatch.context() as patch:
            left = [at]
            for module in (pruned_files, bucket_place):
                for name in ("put_new", "put_if", "delete"):
                    if hasattr(module, name):
                        patch.setattr(module, name, until(left, getattr(writing, name)))
            with pytest.raises(Killed):
                pruned(folder)
        assert sum(counts(folder)) == 5
        assert {*KEPT} <= {*images(folder)}
        seen.append(counts(folder)[0])
        with opened(folder) as output:  # a run finishes what was begun
            assert {output.state(one.sample) for one in (*OLD, *NEW)} == {"done"}
        assert counts(folder) == ((5, 0) if at < 2 else (2, 3))
        pruned(folder)
        assert (counts(folder), images(folder)) == ((2, 3), KEPT)
        assert sum(row["masks"] for row in kept_counts(Path(folder))) == 3
        objects = {listed.key.split("/")[-1] for listed in list_objects(f"{folder}.pruned")}
        assert objects == {"keys.parquet", "counts.parquet", "finished"}
    assert seen == [5, 3, 2]


def test_one_that_was_overtaken_ends_and_a_store_that_fails_is_reported(
    parts: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stopped for longer than its lease after the keys were put; another run finishes it."""
    take, held = lock_module.take_output, []

    def taken(*args: Any, **options: Any) -> Any:
        held.append(take(*args, **options))
        return held[-1]

    def late(*args: Any) -> None:
        writing.put_new(*args)
        if args[0].endswith("keys.parquet"):
            monkeypatch.undo()
            held[0]._ended.set()
            held[0]._thread.join()
            monkeypatch.setattr(lease, "LEASE_S", 1.2)
            with opened(parts) as output:
                output.commit([aged("new/2.png", 0)])

    store.fail("PUT", "counts.parquet", "403")
    with pytest.raises(OutputError, match="no row was removed"):
        pruned(parts)
    monkeypatch.setattr(lock_module, "take_output", taken)
    monkeypatch.setattr(pruned_files, "put_new", late)
    with pytest.raises(Locked, match="has taken over"):
        pruned(parts)
    assert images(parts) == [*KEPT, "new/2.png"]


def test_pruned_parts_are_merged_although_one_has_the_name_of_all_images(
    out: str,
) -> None:
    """A part is named after the images that it had at first."""
    with opened(out) as output:
        output.commit(OLD[:2])
    pruned(out)
    with opened(out) as output:
        output.commit(NEW)  # next to the part without images
    assert compact(Path(out), images=100) == Compacted(2, 1, 2)
    assert (counts(out), images(out)) == ((2, 2), KEPT)
    with opened(out) as output:
        output.commit([OLD[2], aged("new/2.png", 1)])
    pruned(out)
    again = aged("old/2.png", 0)  # its file has changed
    with opened(out) as output:
        assert output.state(again.sample) == "new"
        output.commit([again])
    assert compact(Path(out), images=2) == Compacted(3, 2, 4)
    assert images(out) == [*KEPT, "new/2.png", "old/2.png"]
    assert verify(Path(out)).is_intact
