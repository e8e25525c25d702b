"""The executor that runs one worker in the caller's process, which a crash would end."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field

from segcli.pipeline.events import Event, Note
from segcli.pipeline.executors.messages import Finished, Noted, Progressed, Ready, WorkerEvent
from segcli.pipeline.job import Chunk, ChunkPredictor, Job, commit
from segcli.pipeline.options import PredictOptions
from segcli.pipeline.progress import Counts
from segcli.pipeline.resources import Resources, default_threads, queue_bytes
from segcli.pipeline.signals import Stop
from segcli.store import Output
from segcli.types import Record


@dataclass(slots=True)
class InProcess:
    """Loads the model in `start` and processes a chunk in `wait`; errors are raised."""

    job: Job
    options: PredictOptions
    hang_limit_s: float | None = None
    may_wait: bool = False
    _predictor: ChunkPredictor | None = None
    _output: Output | None = None
    _chunk: Chunk | None = None
    _stop: Stop = field(default_factory=Stop)
    _events: list[WorkerEvent] = field(default_factory=list)

    @property
    def device(self) -> str:
        return self.job.device if self._predictor is None else self._predictor.device

    def slots(self) -> int:
        return 1

    def attach(self, output: Output) -> None:
        self._output = output

    def start(self, worker: int) -> None:
        predictor = self.job.load(self.job, self._note)
        threads = self.options.workers or default_threads()
        predictor.equip(Resources(threads, queue_bytes(self.options.max_memory, workers=1)))
        self._predictor = predictor
        self._events.append(Ready(worker, predictor.device, predictor.precision, predictor.runtime))

    def submit(self, worker: int, chunk: Chunk) -> None:
        self._chunk = chunk

    def wait(self) -> Generator[WorkerEvent]:
        yield from self._noted()
        if self._chunk is None:
            return
        assert self._predictor is not None, "started"
        assert self._output is not None, "attached"
        chunk, self._chunk = self._chunk, None
        records: list[Record] = []
        for batch in self._predictor.batches(chunk, stop=self._stop):
            records += batch
            yield from self._noted()
            yield Progressed(0, Counts.of(batch))
        yield Finished(0, commit(records, chunk, self._output.writer))

    def stop(self, worker: int, signum: int) -> None:
        self._stop.signum = signum

    def kill(self, worker: int, reason: str | None = None) -> None:
        """Does nothing: the worker cannot be ended without this process."""

    def close(self) -> bool:
        self._predictor = None
        return True

    def _note(self, event: Event) -> None:
        if isinstance(event, Note):
            self._events.append(Noted(0, event.message))

    def _noted(self) -> list[WorkerEvent]:
        events, self._events = self._events, []
        return events
