"""A chunk: the samples that become one part, and how many of them that should be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from segcli.pipeline.signals import Stop
from segcli.pipeline.stages.batching import PENDING_BYTES, grouped
from segcli.pipeline.stages.prefetch import Loaded, Prefetch
from segcli.types import Record, Sample

if TYPE_CHECKING:
    from segcli.pipeline.stages.inference import Inference

FIRST = 32  # images in the chunk that the speed is measured with
SECONDS = 60.0  # of work in a chunk: what a kill costs
MOST = 1024  # images in a chunk: its records wait in memory until they are a part


def do_chunk(
    samples: Sequence[Sample],
    engine: Inference,
    ahead: Prefetch,
    *,
    stop: Stop,
    done: Callable[[Sequence[Record]], None],
    pending_bytes: int = PENDING_BYTES,
) -> list[Record]:
    """One record per sample, in order; fewer when `stop` is requested: those that are finished.

    The batches are the same for the same samples, whatever the timing. `done` hears of the records
    of each batch. `pending_bytes` of images may wait for others of their canvas.
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

    stride = engine.model.info.stride
    groups = grouped(readable(), stride, engine.size_of, pending_bytes=pending_bytes)
    for canvas, group in groups:
        if stop.requested:
            break
        finished = engine.records(canvas, group)
        records.update(zip([item.index for item in group], finished, strict=True))
        done(finished)
    return [records[index] for index in sorted(records)]


@dataclass(slots=True)
class ChunkSize:
    """The number of samples for the next chunk: `fixed`, or measured once and then kept.

    Towards the end of a run several workers get smaller ones, lest all wait for the last.
    """

    fixed: int | None = None
    _measured: int = FIRST
    _is_measured: bool = False
    _most: int = MOST

    @property
    def now(self) -> int:
        return self.fixed or min(self._measured, self._most)

    def measure(self, images: int, seconds: float) -> None:
        """A chunk of `images` took `seconds`; the first one decides."""
        if not self._is_measured:
            self._is_measured = True
            wanted = images / max(seconds, 1e-3) * SECONDS
            self._measured = int(min(MOST, max(FIRST, wanted)))

    def share_out(self, left: int | None, workers: int) -> None:
        """`left` images are not handed out yet (None: not counted) and wanted by `workers`."""
        if left is not None and workers > 1:
            self._most = max(FIRST, left // (2 * workers))
