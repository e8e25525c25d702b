"""The coordinator of a Ray run, with threads for Ray: late answers, hung and dying workers."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from toy_data import keys, rows
from toy_worker import row

from segcli.errors import Interrupted, UsageError, WorkersLost
from segcli.pipeline import PredictOptions, predict
from segcli.pipeline.events import Committed, Event, Note
from segcli.pipeline.executors import ray_executor
from segcli.pipeline.progress import Counts
from segcli.types import Record

PATIENCE_S = 60.0  # for what another thread does at once


class ActorDied(Exception):
    """As Ray tells it."""


class TaskFailed(Exception):
    """As Ray hands on what a worker raised."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Actor:
    """Answers from threads, as Ray's do; `act` decides what becomes of a sample, or raises."""

    def __init__(
        self,
        act: Callable[[Any], Record],
        load: Callable[[], Any],
        halted: threading.Event,
    ) -> None:
        self._pool = ThreadPoolExecutor(2)
        self._act, self._load, self._halted = act, load, halted
        self._counts, self._signum = Counts(), None

    def __getattr__(self, name: str) -> Any:
        method = getattr(self, f"_{name}_")
        return SimpleNamespace(remote=lambda *args: self._pool.submit(method, *args))

    def _load_(self, job: Any, threads: int, max_memory: int | None) -> Any:
        return self._load()

    def _process_(self, chunk: Any) -> list[Record]:
        records: list[Record] = []
        for sample in chunk.samples:
            if self._signum is None:
                records.append(self._act(sample))
                self._counts = Counts.of(records)
        return records

    def _progress_(self) -> tuple[Counts, list[str]]:
        return self._counts, []

    def _halt_(self, signum: int) -> None:
        self._signum = signum
        self._halted.set()


class Ray:
    """What the executor uses of Ray. The worst case: a worker that is killed lives on."""

    exceptions = SimpleNamespace(RayTaskError=TaskFailed, RayError=(ActorDied, TaskFailed))

    def __init__(self) -> None:
        self.actors: list[Actor] = []
        self.act: Callable[[Any], Record] = row
        self.load: Callable[[], Any] = lambda: ("cpu", "float32", "torch")
        self.halted = threading.Event()  # somebody has been asked to end

    def create_actor(self, *_: Any) -> Actor:
        act, load = (lambda sample: self.act(sample)), (lambda: self.load())
        self.actors.append(Actor(act, load, self.halted))
        return self.actors[-1]

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": {"CPU": 1}}] * 2

    def wait(
        self, calls: list[Future], num_returns: int = 1, timeout: float | None = None
    ) -> tuple[list[Future], list[Future]]:
        done, waiting = wait(calls, timeout, return_when="FIRST_COMPLETED")
        return list(done)[:num_returns], list(waiting)

    def get(self, call: Future) -> Any:
        return call.result()

    def kill(self, actor: Actor) -> None: ...

    def shutdown(self) -> None: ...


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ray]:
    ray = Ray()
    monkeypatch.setattr(ray_executor, "connect", lambda: ray)
    monkeypatch.setattr(ray_executor, "create_actor", ray.create_actor)
    monkeypatch.setattr(ray_executor, "_TICK_S", 0.01)
    yield ray
    for actor in ray.actors:
        actor._pool.shutdown()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number:02d}.png").write_bytes(b"any")
    return folder


def run(images: Path, out: Path, told: list[Event] | None = None, **more: Any) -> Any:
    options = PredictOptions(
        source=str(images), out=out, model="toy", engine="ray", device="cpu", chunk_size=3, **more
    )

    def report(event: Event) -> None:
        if told is not None:
            told.append(event)

    return predict(options, report=report)


def test_every_chunk_is_one_part(cluster: Ray, images: Path, tmp_path: Path) -> None:
    told: list[Event] = []
    assert run(images, tmp_path / "m.parquet", told).images == 12
    assert keys(tmp_path / "m.parquet") == [f"{n:02d}.png" for n in range(12)]
    assert [e.images for e in told if isinstance(e, Committed)] == [3, 3, 3, 3]
    assert len(cluster.actors) == 2
    assert run(images, tmp_path / "m.parquet").images == 0


def test_late_answer_of_a_worker_that_was_given_up_is_not_heard(
    cluster: Ray, images: Path, tmp_path: Path
) -> None:
    first, release, ended = threading.Lock(), threading.Event(), threading.Event()

    def slow_once(sample: Any) -> Record:
        if sample.key == "04.png" and first.acquire(blocking=False):
            release.wait(PATIENCE_S)
            ended.set()
        return row(sample)

    cluster.act = slow_once
    told: list[Event] = []

    def report(event: Event) -> None:
        told.append(event)
        # The late worker comes to its end while the others still work.
        if isinstance(event, Committed) and any(isinstance(e, Note) for e in told):
            release.set()
            ended.wait(PATIENCE_S)

    options = PredictOptions(
        source=str(images), out=tmp_path / "m.parquet", model="toy", engine="ray", device="cpu",
        chunk_size=3, chunk_timeout=3.0,
    )  # fmt: skip
    assert predict(options, report=report).images == 12
    notes = [e.message for e in told if isinstance(e, Note)]
    assert len(notes) == 1
    assert "it hung: no batch was finished" in notes[0]
    assert ended.is_set(), "the first attempt lived to its end"
    assert len(os.listdir(tmp_path / "m.parquet")) == 4
    assert len(rows(tmp_path / "m.parquet")) == 12


def test_image_that_kills_is_the_only_failed_row(
    cluster: Ray, images: Path, tmp_path: Path
) -> None:
    def poison(sample: Any) -> Record:
        if sample.key == "07.png":
            raise ActorDied("the node is gone")
        return row(sample)

    cluster.act = poison
    summary = run(images, tmp_path / "m.parquet")
    assert (summary.images, summary.failed) == (12, 1)
    assert summary.first_failures[0][0] == "07.png"
    assert "the node is gone" in summary.first_failures[0][1]
    assert len(rows(tmp_path / "m.parquet")) == 12


def test_what_the_user_can_mend_ends_the_run(cluster: Ray, images: Path, tmp_path: Path) -> None:
    def refuse() -> Any:
        raise TaskFailed(UsageError("weights of another model"))

    cluster.load = refuse
    with pytest.raises(UsageError, match="weights of another model"):
        run(images, tmp_path / "m.parquet")
    assert not (tmp_path / "m.parquet").exists()


def test_workers_that_cannot_start_end_the_run(cluster: Ray, images: Path, tmp_path: Path) -> None:
    def die() -> Any:
        raise ActorDied("no module named segcli")

    cluster.load = die
    with pytest.raises(WorkersLost, match="no module named segcli"):
        run(images, tmp_path / "m.parquet")


def test_cluster_without_room_is_waited_for_and_told(
    cluster: Ray, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_executor, "PATIENCE_S", 0.05)

    noted = threading.Event()

    def late() -> Any:
        noted.wait(PATIENCE_S)
        return "cpu", "float32", "torch"

    cluster.load = late
    told: list[Event] = []

    def report(event: Event) -> None:
        told.append(event)
        if isinstance(event, Note):
            noted.set()

    options = PredictOptions(
        source=str(images), out=tmp_path / "m.parquet", model="toy", engine="ray", device="cpu"
    )
    assert predict(options, report=report).images == 12
    notes = [e.message for e in told if isinstance(e, Note)]
    assert notes == ["no worker is loaded yet: waiting for Ray to find room for one (1 CPU, 0 GPU)"]


def test_sigterm_commits_what_the_workers_have(cluster: Ray, images: Path, tmp_path: Path) -> None:
    first = threading.Lock()

    def all_but_one_wait(sample: Any) -> Record:
        if not first.acquire(blocking=False):
            cluster.halted.wait(PATIENCE_S)
        return row(sample)

    cluster.act = all_but_one_wait
    out = tmp_path / "m.parquet"
    options = PredictOptions(
        source=str(images), out=out, model="toy", engine="ray", device="cpu", chunk_size=6
    )
    sent: list[int] = []

    def report(event: Event) -> None:
        if getattr(event, "images", 0) and not sent:
            sent.append(1)
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted) as caught:
        predict(options, report=report)
    assert caught.value.exit_code == 143
    done = len(keys(out))
    assert 1 <= done < 12
    cluster.act = row
    assert run(images, out).images == 12 - done
    assert len(rows(out)) == 12
