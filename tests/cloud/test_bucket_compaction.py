"""Parts in a bucket are merged, and readers never see rows twice, wherever it is killed."""

from pathlib import Path
from typing import Any

import pytest
from cloud.conftest import images, opened, record
from cloud.killing import Killed, until

from segcli.cloud import writing
from segcli.cloud.objects import list_objects
from segcli.errors import Locked
from segcli.store import bucket_place, compact, exchange, lease, part_paths
from segcli.store import output_lock as lock_module

KEYS = [f"{number}.png" for number in range(6)]


@pytest.fixture
def parts(out: str) -> str:
    """Six parts of one image."""
    with opened(out) as output:
        for key in KEYS:
            output.commit([record(key)])
    return out


def objects(out: str) -> int:
    return sum("part-" in listed.key for listed in list_objects(out))


def test_rows_stay_and_the_output_goes_on(parts: str) -> None:
    done = compact(Path(parts), images=3)
    assert (done.before, done.after, done.images) == (6, 2, 6)
    assert objects(parts) == len(part_paths(Path(parts))) == 2
    assert images(parts) == KEYS
    assert compact(Path(parts), images=3).after == 2
    with opened(parts) as output:
        assert output.images == 6
        output.replace([record("0.png", 2)])
        output.commit([record("6.png")])
    assert compact(Path(parts), images=100).after == 1
    assert images(parts) == [*KEYS, "6.png"]


@pytest.mark.parametrize("at", range(7))
def test_killed_at_any_request(parts: str, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Each request that changes something is the last one, in turn."""
    left = [at]

    with monkeypatch.context() as patch:
        for module in (exchange, bucket_place):
            for name in ("put_new", "put_if", "delete"):
                patch.setattr(module, name, until(left, getattr(writing, name)))
        with pytest.raises(Killed):
            compact(Path(parts), images=3)
        # A reader, while nobody has cleared up.
        patch.undo()
        assert images(parts) == KEYS
    compact(Path(parts), images=3)
    assert images(parts) == KEYS
    assert objects(parts) == 2


def test_a_run_clears_up_what_a_killed_compaction_left(
    parts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(url: str) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(exchange, "delete", killed)
        with pytest.raises(Killed):
            compact(Path(parts), images=100)
    assert (objects(parts), images(parts)) == (7, KEYS)
    with opened(parts) as output:
        assert output.images == 6
    assert (objects(parts), images(parts)) == (1, KEYS)


def test_a_compaction_that_was_overtaken_ends(parts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is stopped for longer than its lease, and another run adds a part and clears up."""
    real, take = exchange._put, lock_module.take_output
    held = []

    def taken(*args: Any, **options: Any) -> Any:
        held.append(take(*args, **options))
        return held[-1]

    def late(*args: Any) -> Any:
        hidden = real(*args)  # the new part does not count yet
        monkeypatch.undo()
        held[0]._ended.set()
        held[0]._thread.join()
        monkeypatch.setattr(lease, "LEASE_S", 1.2)
        with opened(parts) as output:
            output.commit([record("7.png")])
        return hidden

    monkeypatch.setattr(lock_module, "take_output", taken)
    monkeypatch.setattr(exchange, "_put", late)
    with pytest.raises(Locked, match="has taken over"):
        compact(Path(parts), images=100)
    assert images(parts) == [*KEYS, "7.png"]
