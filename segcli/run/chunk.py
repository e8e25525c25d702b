"""A chunk: the samples that become one part, and how many of them that should be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from segcli.run.ahead import Ahead, Loaded
from segcli.run.grouping import grouped
from segcli.run.stop import Stop
from segcli.types import Record, Sample

if TYPE_CHECKING:
    from segcli.run.engine import Engine

FIRST = 32  # images in the chunk that the speed is measured with
SECONDS = 60.0  # of work in a chunk: what a kill costs
MOST = 1024  # images in a chunk: its records wait in memory until they are a part


def do_chunk(
    samples: Sequence[Sample],
    engine: Engine,
    ahead: Ahead,
    *,
    stop: Stop,
    done: Callable[[Sequence[Record]], None],
) -> list[Record]:
    """One record per sample, in order; fewer when `stop` is requested: those that are finished.

    The batches are the same for the same samples, whatever the timing. `done` hears of the records
    of each batch.
    """
    records: dict[int, Record] = {}

    def readable() -> Iterator[Loaded]:
        for item in ahead(samples):
            if stop.requested:
                return
            if item.image is not None:
                yield item
            else:
                records[item.index] = Record(item.sample, None, None, error=item.error)
                done([records[item.index]])

    for canvas, group in grouped(readable(), engine.model.info.stride, engine.size_of):
        if stop.requested:
            break
        finished = engine.records(canvas, group)
        records.update(zip([item.index for item in group], finished, strict=True))
        done(finished)
    return [records[index] for index in sorted(records)]


@dataclass(slots=True)
class ChunkSize:
    """The number of samples for the next chunk: `fixed`, or measured once and then kept."""

    fixed: int | None = None

    @property
    def now(self) -> int:
        return self.fixed or FIRST

    def measure(self, images: int, seconds: float) -> None:
        """A chunk of `images` took `seconds`; the first one decides."""
        if self.fixed is None:
            self.fixed = int(min(MOST, max(FIRST, images / max(seconds, 1e-3) * SECONDS)))
