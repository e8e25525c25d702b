"""A worker's job, whatever process does it: the model loaded once, then chunks into parts.

predictor = open_job(job, report)
outcome = predictor.do(Chunk(samples), writer, stop=Stop(), done=told)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from segcli.pipeline.events import Report
from segcli.pipeline.malloc import keep_memory
from segcli.pipeline.options import PredictOptions
from segcli.pipeline.progress import Counts
from segcli.pipeline.resources import Resources
from segcli.pipeline.settings import Described
from segcli.pipeline.signals import Stop
from segcli.store import PartWriter
from segcli.types import Record, Sample

if TYPE_CHECKING:
    from segcli.pipeline.stages.inference import Inference


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker needs before its first chunk; picklable, and knowing it loads no torch.

    `device` is the worker's own one; `precision` as resolved, or "auto" to find out.
    """

    options: PredictOptions
    described: Described
    device: str
    precision: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """Samples that become one part; `part`: they have rows in this one, which are replaced.

    `create`: the output may not exist yet. `proven`: the model has done an image somewhere, so
    refusing many in a row is the images' fault.
    """

    samples: Sequence[Sample]
    part: str | None = None
    create: bool = False
    proven: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a chunk: the part with the rows of `counts.images` images.

    `part` is None and nothing counted when a stop came before the first batch was finished; after
    a stop `undone` are the keys that have no rows.
    """

    part: str | None
    counts: Counts
    undone: frozenset[str] = frozenset()


class Performer(Protocol):
    """Does chunks in one process; `Predictor` is the real one."""

    device: str
    precision: str

    def equip(self, means: Resources) -> None:
        """Told once, before the first chunk."""
        ...

    def do(
        self, chunk: Chunk, writer: PartWriter, *, stop: Stop, done: Callable[[Counts], None]
    ) -> Outcome: ...


Opener = Callable[[Job, Report], Performer]
PREDICTING = "segcli.pipeline.job:open_job"
"""The opener of a real run, as the processes name it to one another."""


def open_job(job: Job, report: Report) -> Predictor:
    """Load the model. Raises UsageError (no such device, weights of another model)."""
    from segcli.pipeline.stages.inference import load_engine

    options = replace(job.options, device=job.device)
    engine = load_engine(options, job.described.labels, precision=job.precision, report=report)
    if engine.device.type == "cpu":
        keep_memory()
    return Predictor(job, engine)


class Predictor:
    """The model on its device, in this process."""

    def __init__(self, job: Job, engine: Inference) -> None:
        self.job = job
        self.engine = engine
        self.device = str(engine.device)
        self.precision = engine.precision
        self.means = Resources(decode_threads=1)

    def equip(self, means: Resources) -> None:
        self.means = means

    def do(
        self, chunk: Chunk, writer: PartWriter, *, stop: Stop, done: Callable[[Counts], None]
    ) -> Outcome:
        """Commit the chunk as one part; what is finished when `stop` is requested.

        `done` hears of each batch. The same chunk again makes the same part. Raises OutputError,
        and NothingDone when the model refuses whatever it is given.
        """
        return commit(self.records(chunk, stop=stop, done=done), chunk, writer)

    def records(self, chunk: Chunk, *, stop: Stop, done: Callable[[Counts], None]) -> list[Record]:
        """The same without the commit."""
        from segcli.pipeline.chunk import do_chunk
        from segcli.pipeline.stages.prefetch import Prefetch

        self.engine.proven |= chunk.proven
        ahead = Prefetch(
            self.job.described.info,
            threads=self.means.decode_threads,
            max_pixels=self.job.options.max_pixels,
            strict=self.job.options.strict_images,
            limit_bytes=self.means.ahead_bytes,
            stream=self.job.options.stream,
        )
        return do_chunk(
            chunk.samples,
            self.engine,
            ahead,
            stop=stop,
            done=lambda batch: done(Counts.of(batch)),
            pending_bytes=self.means.queue_bytes - self.means.ahead_bytes,
        )


def commit(records: Sequence[Record], chunk: Chunk, writer: PartWriter) -> Outcome:
    """Put the records of a chunk on disk. Raises OutputError."""
    undone = frozenset(s.key for s in chunk.samples) - {r.sample.key for r in records}
    if not records:
        return Outcome(None, Counts(), undone)
    if chunk.part is not None:
        writer.rewrite(chunk.part, records)
        name = chunk.part
    else:
        name = writer.write(records, create=chunk.create)
    return Outcome(name, Counts.of(records), undone)
