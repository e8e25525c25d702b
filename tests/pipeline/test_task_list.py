"""Tasks hold so many samples and bytes, and no key is in two of them."""

from typing import Any

from segcli.pipeline.chunk_size import FIRST, ChunkSize
from segcli.pipeline.job import Outcome
from segcli.pipeline.progress import Counts
from segcli.pipeline.task_list import TaskList
from segcli.sources import Source
from segcli.types import Sample


class Empty:
    """An output without any rows yet."""

    def __init__(self) -> None:
        self.adopted: list[tuple[str, list[str]]] = []

    def state(self, sample: Sample) -> str:
        return "new"

    def repeated(self, sample: Sample) -> bool:
        return False

    def adopt(self, part: str, samples: list[Sample]) -> None:
        self.adopted.append((part, [sample.key for sample in samples]))


def work(*keys: str, data: bytes | None = None, **options: Any) -> TaskList:
    samples = [Sample(key, key, data=data) for key in keys]
    return TaskList(Source("in", lambda: iter(samples)), Empty(), **options)


def cut(found: TaskList, size: int) -> list[str]:
    return ["".join(s.key for s in task.samples) for task in found.tasks(ChunkSize(size))]


def test_a_key_that_is_in_hand_is_not_taken_again() -> None:
    found = work(*"abcab")
    assert cut(found, 2) == ["ab", "c"]
    assert (found.repeated, found.taken) == (2, 3)


def test_encoded_images_in_the_manifest_make_chunks_smaller() -> None:
    assert cut(work(*"abcde", data=b"12345", most_bytes=10), 4) == ["ab", "cd", "e"]
    assert cut(work(*"abcde", data=b"1"), 4) == ["abcd", "e"]


def test_the_output_hears_of_what_was_done() -> None:
    found = work(*"abc")
    (task,) = found.tasks(ChunkSize(3))
    found.settle(task, Outcome("part", Counts(2), undone=frozenset("b")))
    assert found.output.adopted == [("part", ["a", "c"])]
    found.settle(task, Outcome(None, Counts(), undone=frozenset("abc")))
    assert len(found.output.adopted) == 1


def test_chunks_become_smaller_towards_the_end_for_several_workers() -> None:
    size = ChunkSize()
    size.measure(FIRST, 1.0)
    assert size.now == 1024
    size.share_out(None, workers=4)
    assert size.now == 1024
    size.share_out(2000, workers=4)
    assert size.now == 250
    size.share_out(10, workers=4)
    assert size.now == FIRST
    fixed = ChunkSize(7)
    fixed.share_out(10, workers=4)
    assert fixed.now == 7


def test_the_first_sample_to_be_done_is_announced_once_before_its_task_is_complete() -> None:
    told: list[int] = []
    found = work(*"abcde", on_first=lambda: told.append(found.taken))
    found.output.state = lambda sample: "done" if sample.key in "ab" else "new"
    tasks = found.tasks(ChunkSize(2))
    next(tasks)
    assert told == [1]
    assert [len(task.samples) for task in tasks] == [1]
    assert told == [1]


def test_what_the_number_of_workers_leaves_for_a_chunk_holds_from_the_first_one_on() -> None:
    found = work(*"abcde", data=b"12345")
    found.on_first = lambda: setattr(found, "most_bytes", 10)
    assert cut(found, 4) == ["ab", "cd", "e"]


def test_nothing_is_announced_where_all_is_done() -> None:
    told: list[str] = []
    found = work(*"abc", on_first=lambda: told.append("first"))
    found.output.state = lambda sample: "done"
    assert cut(found, 2) == []
    assert (told, found.earlier) == ([], 3)


class Changed(Empty):
    """An output that has rows of every sample, all of which have changed; ten to a part."""

    def state(self, sample: Sample) -> str:
        return "changed"

    def part_of(self, sample: Sample) -> str:
        return f"part {int(sample.key) // 10}"


def changed(count: int, size: int, most_bytes: int) -> TaskList:
    samples = (Sample(str(i), str(i), data=bytes(size)) for i in range(count))
    return TaskList(Source("in", lambda: iter(samples)), Changed(), most_bytes=most_bytes)


def test_changed_images_of_a_manifest_are_not_all_held_until_the_end() -> None:
    found = changed(100, size=10_000, most_bytes=300_000)
    tasks = found.tasks(ChunkSize(4))
    first = next(tasks)
    assert found.taken < 40, "so many fit into the bytes"
    parts = [first.part, *(task.part for task in tasks)]
    assert found.taken == found.redone == 100
    assert len(parts) <= 14, "parts are rewritten a few times at most"
    assert {*parts} == {f"part {number}" for number in range(10)}


def test_an_image_that_waits_to_be_redone_is_not_taken_again() -> None:
    samples = [Sample(key, key, data=bytes(100)) for key in "1234512345"]
    found = TaskList(Source("in", lambda: iter(samples)), Changed(), most_bytes=3000)
    tasks = list(found.tasks(ChunkSize(4)))
    keys = [sample.key for task in tasks for sample in task.samples]
    assert sorted(keys) == ["1", "2", "3", "4", "5"]
    assert found.repeated == 5
