"""Two batches at the same time on a processor, each with half of the threads."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import torch
from pipeline.test_overlap import CANVAS, batch, inference_of, loaded

from segcli.models.device import sharing
from segcli.pipeline.refinement import Refinement
from segcli.pipeline.stages.concurrent_batches import ConcurrentBatches
from segcli.pipeline.stages.prefetch import Loaded
from segcli.types import Record


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@dataclass
class Meeting:
    """An inference whose first two batches wait for each other; `log` has the thread of each, how
    many threads torch uses there, and how many share them."""

    bad: int | None = None
    refinement: Refinement = Refinement()
    pair: threading.Barrier = field(default_factory=lambda: threading.Barrier(2, timeout=10))
    log: dict[int, tuple[str, int, int]] = field(default_factory=dict)
    alone: list[int] = field(default_factory=list)

    def segments(self, images: list[int], refinement: Refinement) -> int:
        name = threading.current_thread().name
        self.log[images[0]] = (name, torch.get_num_threads(), sharing())
        if images[0] < 2:
            self.pair.wait()
        if images[0] == self.bad:
            raise MemoryError
        return images[0]

    def finished(self, group: list[Loaded], found: int) -> list[Record]:
        assert found == group[0].image
        return [Record(item.sample, 1, 1) for item in group]

    def records(self, canvas: tuple[int, int], group: list[Loaded]) -> list[Record]:
        self.alone.append(group[0].image)
        return [Record(item.sample, 1, 1, error="alone") for item in group]


def run(inference: Meeting, count: int) -> list[Record]:
    with ConcurrentBatches(inference) as line:
        found = [r for n in range(count) for rs in line.add(CANVAS, batch(n)) for r in rs]
        return found + [r for rs in line.rest() for r in rs]


def test_two_batches_are_computed_at_the_same_time_and_end_in_their_order() -> None:
    meeting = Meeting()
    records = run(meeting, 6)
    assert [record.sample.key for record in records] == list("012345")
    assert {record.error for record in records} == {None}
    assert {use[1:] for use in meeting.log.values()} == {(2, 2)}
    assert len({name for name, *_ in meeting.log.values()}) == 2
    assert torch.get_num_threads() == 4
    assert sharing() == 1


def test_a_batch_that_fails_is_repeated_in_its_place_and_alone() -> None:
    meeting = Meeting(bad=2)
    records = run(meeting, 6)
    assert [record.sample.key for record in records] == list("012345")
    assert [record.error for record in records] == [None, None, "alone", None, None, None]
    assert meeting.alone == [2]


def test_a_single_batch_has_all_threads() -> None:
    meeting = Meeting()
    assert [record.error for record in run(meeting, 1)] == ["alone"]


def test_one_thread_takes_one_batch_after_another() -> None:
    torch.set_num_threads(1)
    meeting = Meeting()
    assert [record.error for record in run(meeting, 3)] == ["alone"] * 3
    assert meeting.alone == [0, 1, 2]


def test_leaving_early_ends_the_threads() -> None:
    with ConcurrentBatches(Meeting()) as line:
        for number in range(3):
            list(line.add(CANVAS, batch(number)))
    assert not [t for t in threading.enumerate() if t.name.startswith("batch")]


@pytest.mark.parametrize("options", [{}, {"tta": "flip", "min_area": 10}])
def test_the_records_are_those_of_one_batch_after_another(options: dict[str, object]) -> None:
    inference, canvas = inference_of("toy", **options), (64, 96)
    groups = [[loaded(3 * number + i) for i in range(3)] for number in range(5)]
    with ConcurrentBatches(inference) as line:
        found = [records for group in groups for records in line.add(canvas, group)]
        found += line.rest()
    assert found == [inference.records(canvas, group) for group in groups]
    assert any(record.segments for records in found for record in records)


def test_batches_that_do_not_fit_are_halved() -> None:
    inference = inference_of("troubled/greedy")
    with ConcurrentBatches(inference) as line:
        groups = [[loaded(4 * n + i) for i in range(4)] for n in range(3)]
        found = [records for group in groups for records in line.add((64, 96), group)]
        found += line.rest()
    assert [record.error for records in found for record in records] == [None] * 12
    assert inference.size_of((64, 96)) == 1
