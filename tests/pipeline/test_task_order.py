"""Which task is next, and how a poisonous one is halved until it stands alone."""

import pytest

from segcli.pipeline import hang_detector
from segcli.pipeline.executors.worker_process import WorkerProcess
from segcli.pipeline.hang_detector import HangDetector
from segcli.pipeline.placement import Placement
from segcli.pipeline.resources import CpuShare
from segcli.pipeline.task_list import Pending, Task
from segcli.types import Sample


def task(*names: str, part: str | None = None) -> Task:
    return Task([Sample(name, name) for name in names], part)


def names(found: Task | None) -> str:
    return "" if found is None else "".join(sample.key for sample in found.samples)


def test_a_task_is_done_whole_once_more_and_then_in_halves() -> None:
    todo = Pending(iter([task("a", "b", "c"), task("d")]))
    first = todo.take(())
    assert first is not None
    assert todo.give_back(first) is None
    again = todo.take(())
    assert names(again) == "abc"
    assert again is not None
    assert todo.give_back(again) is None
    assert [names(todo.take(())) for _ in range(4)] == ["a", "bc", "d", ""]
    assert todo.is_empty


def test_a_single_image_that_kills_twice_is_poison() -> None:
    todo = Pending(iter([task("a")]))
    for _ in range(2):
        taken = todo.take(())
        assert taken is not None
        poison = todo.give_back(taken)
    assert names(poison) == "a"
    assert todo.is_empty


def test_halves_of_one_part_are_never_rewritten_side_by_side() -> None:
    todo = Pending(iter([task("a", "b", part="p"), task("c", part="q")]))
    for _ in range(2):
        taken = todo.take(())
        assert taken is not None
        todo.give_back(taken)
    assert names(todo.take({})) == "a"
    assert names(todo.take({"p"})) == "c"
    assert names(todo.take({"p"})) == ""
    assert not todo.is_empty
    assert names(todo.take({})) == "b"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the watch reads."""
    now = [0.0]
    monkeypatch.setattr(hang_detector.time, "monotonic", lambda: now[0])
    return now


class Killable(WorkerProcess):
    def kill(self, why: str | None = None) -> None:
        self.last_words = why

    @property
    def is_empty(self) -> bool:
        return False


def at_work() -> Killable:
    return Killable(0, Placement("cpu", CpuShare(1)), task=task("a"), is_ready=True)


def pass_time(
    clock: list[float], seconds: float, looked: HangDetector, seat: WorkerProcess
) -> None:
    for _ in range(int(seconds)):
        clock[0] += 1
        looked.look([seat])


def test_a_worker_hangs_when_it_is_slower_by_far_than_any_before(clock: list[float]) -> None:
    looked, seat = HangDetector(), at_work()
    assert looked.limit_s == 600
    clock[0] = 8
    looked.headway(seat)
    assert looked.limit_s == 160
    pass_time(clock, 160, looked, seat)
    assert seat.last_words is None
    pass_time(clock, 1, looked, seat)
    assert seat.last_words == "it hung: no batch was finished for 160 s"


def test_a_fast_worker_has_two_minutes_and_a_given_limit_counts(clock: list[float]) -> None:
    looked, seat = HangDetector(), at_work()
    clock[0] = 0.1
    looked.headway(seat)
    assert looked.limit_s == 120
    assert HangDetector(3.0).limit_s == 3


def test_nobody_hangs_for_having_been_stopped_together_with_us(clock: list[float]) -> None:
    looked, seat = HangDetector(10.0), at_work()
    looked.look([seat])
    clock[0] = 3600
    looked.look([seat])
    assert seat.last_words is None
    pass_time(clock, 11, looked, seat)
    assert seat.last_words is not None
