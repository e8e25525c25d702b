"""Chunks that are being filled: one at a time, or one for each partition of the output."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from segcli.keys import prefix_of
from segcli.partitions import Partitions
from segcli.pipeline.listing import sample_bytes
from segcli.pipeline.stages.static import MOST, StaticRule
from segcli.sources import Source
from segcli.types import Sample

MOST_BYTES = 64 << 20
_MOST_OPEN = 1024
_Group = tuple[str, str]


@dataclass(slots=True)
class _Chunk:
    samples: dict[str, Sample] = field(default_factory=dict)
    data_bytes: int = 0
    bytes: int = 0


@dataclass(slots=True)
class OpenChunks:
    """A chunk has images of one source and one partition, and with a `static` rule whole stretches.

    Images of several cameras may alternate in the listing, so one chunk for each partition stays
    open until it is full. When more than 1024 are open, the one that has waited longest for an
    image is handed out as it is; when they hold more than `most_bytes`, the largest one is.
    """

    source: Source
    partitions: Partitions | None = None
    static: StaticRule | None = None
    most_bytes: int = MOST_BYTES
    _chunks: OrderedDict[_Group, _Chunk] = field(default_factory=OrderedDict)
    _keys: set[str] = field(default_factory=set)
    _bytes: int = 0

    def __contains__(self, sample: Sample) -> bool:
        return sample.key in self._keys

    def add(
        self, sample: Sample, size: int, data_bytes: int = MOST_BYTES
    ) -> list[dict[str, Sample]]:
        """Put the sample into its chunk, which has `size` images and `data_bytes` of encoded ones
        at most; returns the chunks that are complete."""
        group, ready = self._group(sample), list[dict[str, Sample]]()
        if group in self._chunks and self._is_cut_before(sample, self._chunks[group], size):
            ready.append(self._take(group))
        if group not in self._chunks:
            if len(self._chunks) >= (1 if self.partitions is None else _MOST_OPEN):
                ready.append(self._take(next(iter(self._chunks))))
            self._chunks[group] = _Chunk()
        self._chunks.move_to_end(group)
        chunk = self._chunks[group]
        chunk.samples[sample.key] = sample
        self._keys.add(sample.key)
        chunk.data_bytes += len(sample.data or b"")
        chunk.bytes += sample_bytes(sample)
        self._bytes += sample_bytes(sample)
        most = size if self.static is None else max(MOST, size)
        if len(chunk.samples) >= most or chunk.data_bytes >= data_bytes:
            ready.append(self._take(group))
        elif self._bytes >= self.most_bytes and len(self._chunks) > 1:
            ready.append(self._take(max(self._chunks, key=lambda one: self._chunks[one].bytes)))
        return ready

    def rest(self) -> list[dict[str, Sample]]:
        """All chunks that are open."""
        return [self._take(group) for group in [*self._chunks]]

    def _take(self, group: _Group) -> dict[str, Sample]:
        chunk = self._chunks.pop(group)
        self._keys.difference_update(chunk.samples)
        self._bytes -= chunk.bytes
        return chunk.samples

    def _group(self, sample: Sample) -> _Group:
        """The source and the partition of a sample; a part has rows of one."""
        roots = self.source.roots
        prefix = prefix_of(sample.key, roots) if len(roots) > 1 else ""
        return prefix, "" if self.partitions is None else self.partitions.folder(sample.key)

    def _is_cut_before(self, sample: Sample, chunk: _Chunk, size: int) -> bool:
        if self.static is None or len(chunk.samples) < size:
            return False
        last = next(reversed(chunk.samples.values()))
        return self.static.stretch(sample) != self.static.stretch(last)
