"""Which task is next, and how a poisonous one is halved until it stands alone."""

import pytest

from segcli.pipeline import hang_detector
from segcli.pipeline.dispatcher import Worker
from segcli.pipeline.hang_detector import HangDetector
from segcli.pipeline.task_list import Task, TaskQueue
from segcli.types import Sample


def task(*names: str, part: str | None = None) -> Task:
    return Task([Sample(name, name) for name in names], part)


def names(found: Task | None) -> str:
    return "" if found is None else "".join(sample.key for sample in found.samples)


def test_a_task_is_done_whole_once_more_and_then_in_halves() -> None:
    todo = TaskQueue(iter([task("a", "b", "c"), task("d")]))
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
    todo = TaskQueue(iter([task("a")]))
    for _ in range(2):
        taken = todo.take(())
        assert taken is not None
        poison = todo.give_back(taken)
    assert names(poison) == "a"
    assert todo.is_empty


def test_halves_of_one_part_are_never_rewritten_side_by_side() -> None:
    todo = TaskQueue(iter([task("a", "b", part="p"), task("c", part="q")]))
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
    """The seconds that the detector reads."""
    now = [0.0]
    monkeypatch.setattr(hang_detector.time, "monotonic", lambda: now[0])
    return now


def at_work() -> Worker:
    return Worker(0, task=task("a"), is_running=True, is_ready=True)


def pass_time(
    clock: list[float], seconds: float, detector: HangDetector, worker: Worker
) -> str | None:
    """The reason why the worker hangs after so many seconds, if it does."""
    reasons = []
    for _ in range(int(seconds)):
        clock[0] += 1
        reasons += [reason for _, reason in detector.hung([worker])]
    return reasons[0] if reasons else None


def test_a_worker_hangs_when_it_is_slower_by_far_than_any_before(clock: list[float]) -> None:
    detector, worker = HangDetector(), at_work()
    assert detector.limit_s == 600
    clock[0] = 8
    detector.headway(worker)
    assert detector.limit_s == 160
    assert pass_time(clock, 160, detector, worker) is None
    reason = "it hung: no batch was finished for 160 s"
    assert pass_time(clock, 1, detector, worker) == reason


def test_a_fast_worker_has_two_minutes_and_a_given_limit_counts(clock: list[float]) -> None:
    detector, worker = HangDetector(), at_work()
    clock[0] = 0.1
    detector.headway(worker)
    assert detector.limit_s == 120
    assert HangDetector(3.0).limit_s == 3


def test_loading_has_a_limit_unless_it_may_wait_for_room(clock: list[float]) -> None:
    detector = HangDetector(10.0)
    local, remote = Worker(0, is_running=True), Worker(1, may_wait=True, is_running=True)
    assert pass_time(clock, 601, detector, local) is not None
    assert pass_time(clock, 601, detector, remote) is None


def test_nobody_hangs_for_having_been_stopped_together_with_us(clock: list[float]) -> None:
    detector, worker = HangDetector(10.0), at_work()
    assert not list(detector.hung([worker]))
    clock[0] = 3600
    assert not list(detector.hung([worker]))
    assert pass_time(clock, 11, detector, worker) is not None


def test_a_task_of_a_part_that_is_being_rewritten_waits() -> None:
    queue = TaskQueue(iter([task("a", part="p"), task("b", part="p"), task("c")]))
    assert names(queue.take(set())) == "a"
    assert queue.take({"p"}) is None
    assert not queue.is_empty
    assert names(queue.take(set())) == "b"
