"""A chunk gives its records in order, the same way every time, and can be left early."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from segcli_toy import TINY

from segcli.pipeline import PredictOptions
from segcli.pipeline.chunk import FIRST, MOST, ChunkSize, do_chunk
from segcli.pipeline.signals import Stop
from segcli.pipeline.stages.inference import load_engine
from segcli.pipeline.stages.prefetch import Prefetch
from segcli.sources import open_source
from segcli.types import Record

SIZES = ((48, 64), (64, 48), (100, 20))


def chunk(
    folder: Path, threads: int = 2, batch_size: int = 3, stop_after: int | None = None
) -> tuple[list[Record], list[int]]:
    """The records of a folder, and how many came with each batch."""
    options = PredictOptions(
        source="", out=Path("out"), model="toy", device="cpu", batch_size=batch_size
    )
    engine = load_engine(options, None, precision="float32", report=[].append)
    stop, batches = Stop(), []

    def done(records: Sequence[Record]) -> None:
        batches.append(len(records))
        if stop_after is not None and sum(batches) >= stop_after:
            stop.signum = 15

    ahead = Prefetch(TINY, threads=threads, max_pixels=10**6)
    samples = list(open_source(str(folder)))
    return do_chunk(samples, engine, ahead, stop=stop, done=done), batches


def test_records_come_in_the_order_of_the_samples(pictures: Callable[..., Path]) -> None:
    folder = pictures(11, SIZES)
    (folder / "0004.png").write_bytes(b"")
    records, batches = chunk(folder)
    assert [r.sample.key for r in records] == [f"{i:04d}.png" for i in range(11)]
    assert [r.error is None for r in records] == [i != 4 for i in range(11)]
    assert sum(batches) == 11


def test_batches_do_not_depend_on_threads(pictures: Callable[..., Path]) -> None:
    folder = pictures(30, SIZES)
    assert chunk(folder, threads=1) == chunk(folder, threads=8)


def test_stop_ends_after_the_batch_in_hand(pictures: Callable[..., Path]) -> None:
    records, batches = chunk(pictures(12), stop_after=4)
    assert batches == [3, 3]
    assert [r.sample.key for r in records] == [f"{i:04d}.png" for i in range(6)]


def test_first_chunk_is_small_and_decides_for_a_minute() -> None:
    size = ChunkSize()
    assert size.now == FIRST
    size.measure(32, 8.0)
    assert size.now == 240
    size.measure(240, 1.0)  # the size stays for the whole run
    assert size.now == 240


@pytest.mark.parametrize(("seconds", "expected"), [(1e-6, MOST), (1e6, FIRST)])
def test_chunk_size_has_bounds(seconds: float, expected: int) -> None:
    size = ChunkSize()
    size.measure(32, seconds)
    assert size.now == expected


def test_given_chunk_size_is_kept() -> None:
    size = ChunkSize(5)
    size.measure(5, 0.1)
    assert size.now == 5
