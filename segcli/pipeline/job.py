"""The `Job` and the `Chunk`s that a worker receives, and the `Outcome` of each chunk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from segcli.pipeline.events import Report
from segcli.pipeline.options import PredictOptions
from segcli.pipeline.progress import Counts
from segcli.pipeline.resources import Resources
from segcli.pipeline.settings import Described
from segcli.pipeline.signals import Stop
from segcli.store import PartWriter, min_scores
from segcli.types import Record, Sample


@dataclass(frozen=True, slots=True)
class Job:
    """The data that a worker needs before its first chunk; picklable, and loads no torch.

    `load` makes the worker's predictor: a function of a module, because other processes import it
    by its name. `device` is the worker's own; `precision` and `runtime` are "auto" until a worker
    has chosen.
    """

    load: Load
    described: Described
    model: str | None
    weights: str | None
    device: str
    precision: str
    runtime: str
    batch_size: int | None
    min_score: float
    max_masks: int
    max_pixels: int
    strict_images: bool = False
    stream: int = 0

    @staticmethod
    def of(
        options: PredictOptions, described: Described, *, precision: str, runtime: str, load: Load
    ) -> Job:
        return Job(
            load=load,
            described=described,
            model=options.model,
            weights=options.weights,
            device=options.device,
            precision=precision,
            runtime=runtime,
            batch_size=options.batch_size,
            min_score=options.min_score,
            max_masks=options.max_masks,
            max_pixels=options.max_pixels,
            strict_images=options.strict_images,
            stream=options.stream,
        )


@dataclass(frozen=True, slots=True)
class Chunk:
    """Samples that become one part; `part`: the part in which their rows are to be replaced.

    `create`: the output may not exist yet. `proven`: the model has processed an image somewhere, so
    if it refuses many in a row, the images are at fault. `begun`: seconds since 1970.
    """

    samples: Sequence[Sample]
    part: str | None = None
    create: bool = False
    proven: bool = False
    begun: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a chunk: the part with the rows of `counts.images` images.

    `part` is None and the counts are zero if a stop came before the first batch was finished;
    `undone` are the keys without rows after a stop. `failures` are all failed images, as (key,
    reason). `categories` counts the masks that have the default score of their category or more.
    """

    part: str | None
    counts: Counts
    undone: frozenset[str] = frozenset()
    failures: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    categories: Counter[str] = field(default_factory=Counter, repr=False)


class ChunkPredictor(Protocol):
    """Processes chunks in one process; `stages.predictor.Predictor` is the real one."""

    device: str
    precision: str
    runtime: str

    def equip(self, resources: Resources) -> None:
        """Called once, before the first chunk."""
        ...

    def batches(self, chunk: Chunk, *, stop: Stop) -> Iterator[list[Record]]:
        """One record per sample, batch by batch, until `stop` is requested."""
        ...


Load = Callable[[Job, Report], ChunkPredictor]


def commit(records: Sequence[Record], chunk: Chunk, writer: PartWriter) -> Outcome:
    """Write the records of a chunk as a part, in the order of its samples.

    The same chunk gives the same part again. Raises OutputError.
    """
    by_key = _with_repeated(records)
    undone = frozenset(s.key for s in chunk.samples if s.key not in by_key)
    if not by_key:
        return Outcome(None, Counts(), undone)
    ordered = [by_key[s.key] for s in chunk.samples if s.key in by_key]
    if chunk.part is not None:
        writer.rewrite(chunk.part, ordered)
        name = chunk.part
    else:
        name = writer.write(ordered, create=chunk.create, begun=chunk.begun)
    failures = tuple((r.sample.key, r.error) for r in ordered if r.error is not None)
    return Outcome(name, Counts.of(ordered), undone, failures, _categories(ordered, writer))


def _with_repeated(records: Sequence[Record]) -> dict[str, Record]:
    """The records by key. A static frame fails with the frame that it repeats, and waits for the
    next run if that one is not done."""
    by_key = {record.sample.key: record for record in records}
    for record in records:
        if record.repeats is None:
            continue
        repeated = by_key.get(record.repeats)
        if repeated is None:
            del by_key[record.sample.key]
        elif repeated.error is not None:
            error = f"it repeats {record.repeats}, which failed: {repeated.error}"
            by_key[record.sample.key] = replace(record, repeats=None, error=error)
    return by_key


def _categories(records: Sequence[Record], writer: PartWriter) -> Counter[str]:
    names, settings = writer.footer.category_names, writer.footer.settings
    least = min_scores({**settings.recorded, **settings.compared}, None)
    return Counter(
        names[segment.label]
        for record in records
        for segment in record.segments
        if segment.score >= least.of(names[segment.label])
    )
