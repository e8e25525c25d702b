"""The number of images in a chunk."""

from __future__ import annotations

from dataclasses import dataclass

FIRST = 32  # images in the first chunk, which measures the speed
SECONDS = 60.0  # of work in a chunk, which a kill loses
MOST = 1024  # images in a chunk; its records stay in memory until they are committed


@dataclass(slots=True)
class ChunkSize:
    """The number of samples for the next chunk: `fixed`, or measured once and then kept.

    Towards the end of a run, chunks become smaller, so that no worker waits long for the last one.
    """

    fixed: int | None = None
    _measured: int = FIRST
    _is_measured: bool = False
    _most: int = MOST

    @property
    def is_known(self) -> bool:
        """False until the first chunk has been measured."""
        return self.fixed is not None or self._is_measured

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
        """`left` images are in no task yet (None: not counted), for `workers` to process."""
        if left is not None and workers > 1:
            self._most = max(FIRST, left // (2 * workers))
