"""A source is listed once, ahead of the run and within a bound, and counted on the way."""

import threading
import time
from collections.abc import Iterator

import pytest

from segcli.errors import UsageError
from segcli.pipeline import listing
from segcli.pipeline.listing import Listing
from segcli.types import Sample

PATIENCE_S = 60.0


class Counted:
    """A source that knows how often it was listed, and how far."""

    def __init__(self, count: int, data: bytes | None = None) -> None:
        self.count, self.data = count, data
        self.times = self.listed = 0

    def __iter__(self) -> Iterator[Sample]:
        self.times += 1
        for number in range(self.count):
            self.listed += 1
            yield Sample(str(number), str(number), data=self.data)


def wait_until(condition) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize("ahead", [False, True])
def test_every_sample_comes_once_in_order(ahead: bool) -> None:
    source = Counted(1000)
    found = Listing(source, ahead)
    assert [sample.key for sample in found] == [str(number) for number in range(1000)]
    assert (source.times, source.listed, found.total) == (1, 1000, 1000)


def test_the_total_is_known_before_the_samples_are_taken() -> None:
    source = Counted(1000)
    found = Listing(source, ahead=True)
    samples = iter(found)
    next(samples)
    wait_until(lambda: found.total == 1000)
    assert len(list(samples)) == 999
    assert source.times == 1


def test_the_listing_does_not_pause_while_the_run_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_PAUSE_S", PATIENCE_S)
    began = time.monotonic()
    assert sum(1 for _ in Listing(Counted(1000), ahead=True)) == 1000
    assert time.monotonic() - began < PATIENCE_S / 2


def test_no_more_than_the_bound_is_listed_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "AHEAD_BYTES", 10_000)
    source = Counted(100, data=bytes(4000))
    found = Listing(source, ahead=True)
    samples = iter(found)
    next(samples)
    wait_until(lambda: found._held_bytes >= 10_000)
    time.sleep(0.05)
    assert source.listed <= 6
    assert len(list(samples)) == 99


def test_an_error_comes_after_the_samples_before_it() -> None:
    def broken() -> Iterator[Sample]:
        yield Sample("0", "0")
        raise UsageError("the manifest is damaged")

    taken = []
    with pytest.raises(UsageError, match="damaged"):
        taken.extend(Listing(broken(), ahead=True))
    for sample in (samples := iter(Listing(broken(), ahead=True))):
        assert sample.key == "0"
        break
    with pytest.raises(UsageError, match="damaged"):
        next(samples)


def test_leaving_early_ends_the_thread() -> None:
    found = Listing(Counted(10**9), ahead=True)
    samples = iter(found)
    next(samples)
    found.close()
    wait_until(lambda: not [t for t in threading.enumerate() if t.name == "list"])
