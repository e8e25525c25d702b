"""List the samples of a source once, and count them while listing."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from segcli.sources import Source
from segcli.types import Sample

AHEAD_BYTES = 48 << 20  # of samples that are listed but not yet taken: about 100,000 paths
_SAMPLE_BYTES = 512
_BLOCK = 64  # samples per block
_PAUSE_S = 0.001  # at most, after each block, while the run works and needs the interpreter


def sample_bytes(sample: Sample) -> int:
    """The approximate memory of a sample."""
    texts = (value for value in sample.carried.values() if isinstance(value, str))
    return _SAMPLE_BYTES + len(sample.data or b"") + sum(map(len, texts))


@dataclass(slots=True)
class Listing:
    """Iterates over a source once. `total` is None until the end of the listing is known.

    `ahead`: a thread lists up to AHEAD_BYTES of samples before they are wanted, so that the total
    of most archives is known early.
    """

    source: Source
    ahead: bool = False
    total: int | None = None
    _blocks: deque[list[Sample]] = field(default_factory=deque)
    _held_bytes: int = 0
    _is_over: bool = False
    _is_awaited: bool = False
    _error: BaseException | None = None
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def __iter__(self) -> Iterator[Sample]:
        """Raises what listing raises, after the samples before."""
        if not self.ahead:
            total = 0
            for total, sample in enumerate(self.source, start=1):  # noqa: B007
                yield sample
            self.total = total
            return
        threading.Thread(target=self._list, name="list", daemon=True).start()
        try:
            while (block := self._next_block()) is not None:
                yield from block
        finally:
            self.close()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """End the thread and discard its samples."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def _next_block(self) -> list[Sample] | None:
        with self._changed:
            self._is_awaited = not self._blocks
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._blocks or self._is_over)
            self._is_awaited = False
            if not self._blocks:
                return None
            block = self._blocks.popleft()
            self._held_bytes -= sum(map(sample_bytes, block))
            self._changed.notify_all()
            return block

    def _list(self) -> None:
        total, block = 0, list[Sample]()
        try:
            for total, sample in enumerate(self.source, start=1):  # noqa: B007
                block.append(sample)
                if len(block) >= _BLOCK or sample.data is not None:
                    if not self._hand_over(block):
                        return
                    block = []
                    self._pause()
            if self._hand_over(block):
                self.total = total
        except BaseException as error:  # raised again where the samples are taken
            self._hand_over(block)
            self._error = error
        finally:
            self.close()

    def _pause(self) -> None:
        """A run that waits for the next block does not need the interpreter."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_awaited or self._is_over, _PAUSE_S)

    def _hand_over(self, block: list[Sample]) -> bool:
        """Wait for room; False after `close`."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_over or self._held_bytes < AHEAD_BYTES)
            if self._is_over:
                return False
            self._blocks.append(block)
            self._held_bytes += sum(map(sample_bytes, block))
            self._changed.notify_all()
            return True
