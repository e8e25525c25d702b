"""What the dispatcher makes of the events of workers, whatever order they come in."""

from collections.abc import Generator, Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from segcli.pipeline import PredictOptions
from segcli.pipeline.dispatcher import Dispatcher
from segcli.pipeline.events import Committed, Event, Loading, Note
from segcli.pipeline.executors.messages import (
    Dying,
    Finished,
    Lost,
    Progressed,
    Ready,
    WorkerEvent,
)
from segcli.pipeline.job import Chunk, Outcome
from segcli.pipeline.progress import Counts, RunProgress
from segcli.pipeline.signals import Stop
from segcli.pipeline.task_list import TaskList
from segcli.sources import Source
from segcli.types import Sample

DESCRIBED = SimpleNamespace(
    model="toy/tiny",
    weights=Path("tiny.safetensors"),
    info=SimpleNamespace(default_score=0.5, default_scores=None),
)
OPTIONS = PredictOptions(source="in", out=Path("out"), chunk_size=2)


class Scripted:
    """As many workers as asked for; `script` decides what a worker does with its nth chunk."""

    job = SimpleNamespace(described=DESCRIBED)
    hang_limit_s, may_wait, device = None, False, "cpu"

    def __init__(self, script: Any, workers: int) -> None:
        self.script, self.workers = script, workers
        self.events: list[WorkerEvent] = []
        self.submitted: list[tuple[int, list[str]]] = []

    def slots(self) -> int:
        return self.workers

    def attach(self, output: Any) -> None: ...

    def start(self, worker: int) -> None:
        self.events.append(Ready(worker, "cpu", "float32", "torch"))

    def submit(self, worker: int, chunk: Chunk) -> None:
        self.submitted.append((worker, [sample.key for sample in chunk.samples]))
        self.events += self.script(len(self.submitted), worker, chunk)

    def wait(self) -> Generator[WorkerEvent]:
        assert self.events, "it would wait for ever"
        events, self.events = self.events, []
        yield from events

    def stop(self, worker: int, signum: int) -> None: ...

    def kill(self, worker: int, reason: str | None = None) -> None: ...

    def close(self) -> bool:
        return False


class Output(SimpleNamespace):
    """Without any rows yet; commits are only counted."""

    def __init__(self) -> None:
        writer = SimpleNamespace(directory=Path("out"), find=lambda keys: None)
        super().__init__(images=0, inventory=SimpleNamespace(parts=[]), writer=writer, adopted=[])

    def state(self, sample: Sample) -> str:
        return "new"

    def adopt(self, part: str, samples: list[Sample]) -> None:
        self.adopted += [sample.key for sample in samples]


def run(
    keys: Iterable[str], script: Any, options: PredictOptions = OPTIONS, workers: int = 2
) -> tuple[Scripted, Output, RunProgress, list[Event]]:
    told: list[Event] = []
    output, executor = Output(), Scripted(script, workers)
    samples = [Sample(key, key) for key in keys]
    tasks = TaskList(Source("in", lambda: iter(samples)), output)
    progress = RunProgress(options, DESCRIBED, tasks, told.append, Stop())
    Dispatcher(executor, options, told.append).run(progress)
    return executor, output, progress, told


def finished(worker: int, chunk: Chunk) -> Finished:
    return Finished(worker, Outcome("part", Counts(len(chunk.samples), 0, 0)))


def test_chunks_go_to_the_workers_that_are_free() -> None:
    executor, output, progress, told = run("abcdef", lambda n, w, chunk: [finished(w, chunk)])
    assert executor.submitted == [(0, ["a", "b"]), (1, ["c", "d"]), (0, ["e", "f"])]
    assert output.adopted == [*"abcdef"]
    assert [e for e in told if isinstance(e, Loading)] == [Loading("toy/tiny", "tiny.safetensors")]
    assert progress.end().images == 6


def test_workers_start_while_the_first_chunk_is_listed() -> None:
    executor, output = Scripted(lambda n, w, c: [finished(w, c)], 1), Output()
    started: list[int] = []

    def listed() -> Iterable[Sample]:
        for key in "abc":
            started.append(len(executor.events))  # Ready
            yield Sample(key, key)

    tasks = TaskList(Source("in", lambda: iter(listed())), output)
    progress = RunProgress(OPTIONS, DESCRIBED, tasks, lambda event: None, Stop())
    Dispatcher(executor, replace(OPTIONS, chunk_size=3), lambda event: None).run(progress)
    assert started == [0, 1, 1]
    assert output.adopted == [*"abc"]


def test_a_worker_that_dies_after_its_report_has_counted_once() -> None:
    def script(n: int, worker: int, chunk: Chunk) -> list[WorkerEvent]:
        done = finished(worker, chunk)
        return [Progressed(worker, Counts(1)), Dying(worker), done, Lost(worker, "it hung")]

    _, output, progress, told = run("abcd", script)
    assert sorted(output.adopted) == [*"abcd"]
    assert progress.end().images == 4
    assert sum(e.images for e in told if isinstance(e, Committed)) == 4
    assert not [e for e in told if isinstance(e, Note)]


def test_the_chunk_of_a_lost_worker_is_done_by_another() -> None:
    def script(n: int, worker: int, chunk: Chunk) -> list[WorkerEvent]:
        if n == 1:
            return [Progressed(worker, Counts(1)), Lost(worker, "SIGKILL")]
        return [finished(worker, chunk)]

    executor, output, progress, told = run("abcd", script)
    assert [keys for _, keys in executor.submitted].count(["a", "b"]) == 2
    assert sorted(output.adopted) == [*"abcd"]
    assert progress.end().images == 4
    (note,) = [e.message for e in told if isinstance(e, Note)]
    assert "a worker died over 2 image(s) (SIGKILL)" in note


def test_a_dying_worker_gets_no_chunk() -> None:
    def script(n: int, worker: int, chunk: Chunk) -> list[WorkerEvent]:
        done = [finished(worker, chunk)]
        if worker == 0:
            return [*done, Dying(0)]
        return [*done, Lost(0, "killed")] if n == 3 else done

    executor, output, _, _ = run("abcdefgh", script)
    assert [worker for worker, _ in executor.submitted] == [0, 1, 1, 1] or [
        worker for worker, _ in executor.submitted
    ] == [0, 1, 1, 0]
    assert sorted(output.adopted) == [*"abcdefgh"]


@pytest.mark.parametrize(("workers", "sizes"), [(1, [32, 68]), (2, [32, 32, 36])])
def test_the_first_chunk_is_measured_before_the_next_is_cut(workers: int, sizes: list[int]) -> None:
    options = PredictOptions(source="in", out=Path("out"))
    names = [f"{number:03d}" for number in range(100)]
    executor, output, _, _ = run(names, lambda n, w, c: [finished(w, c)], options, workers)
    assert [len(keys) for _, keys in executor.submitted] == sizes
    assert output.adopted == names
