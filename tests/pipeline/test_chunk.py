"""A chunk gives its records in order, the same way every time, and can be left early."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from segcli.pipeline import PredictOptions
from segcli.pipeline.chunk_size import FIRST, MOST, ChunkSize
from segcli.pipeline.job import Chunk, Job
from segcli.pipeline.resources import Resources
from segcli.pipeline.settings import describe
from segcli.pipeline.signals import Stop
from segcli.pipeline.stages.predictor import Predictor, load_predictor
from segcli.sources import open_source
from segcli.types import Record

SIZES = ((48, 64), (64, 48), (100, 20))


def equipped(threads: int, batch_size: int) -> Predictor:
    options = PredictOptions(
        source="", out=Path("out"), model="toy", device="cpu", batch_size=batch_size
    )
    job = Job.of(
        options, describe(options), precision="float32", runtime="torch", load=load_predictor
    )
    predictor = load_predictor(job, [].append)
    predictor.equip(Resources(threads))
    return predictor


@contextmanager
def compute_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def chunk(
    folder: Path, threads: int = 2, batch_size: int = 3, stop_after: int | None = None
) -> tuple[list[Record], list[int]]:
    """The records of a folder by key, and how many came with each batch."""
    predictor = equipped(threads, batch_size)
    stop, records, batches = Stop(), [], []
    for batch in predictor.batches(Chunk(list(open_source(str(folder)))), stop=stop):
        records += batch
        batches.append(len(batch))
        if stop_after is not None and len(records) >= stop_after:
            stop.signum = 15
    return sorted(records, key=lambda record: record.sample.key), batches


def test_every_sample_has_a_record(pictures: Callable[..., Path]) -> None:
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


def test_a_chunk_in_another_thread_has_as_many_threads(pictures: Callable[..., Path]) -> None:
    samples = list(open_source(str(pictures(12))))

    def process() -> int:
        assert len([r for batch in predictor.batches(Chunk(samples), stop=Stop()) for r in batch])
        return torch.get_num_threads()

    with compute_threads(4):
        predictor = equipped(2, 3)
        for _ in range(2):
            with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                assert pool.submit(process).result() == 4
        assert process() == 4


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
