"""Batches of images of one canvas, in an order that does not depend on threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from segcli.images.batch import canvas_size
from segcli.pipeline.stages.prefetch import Loaded
from segcli.types import Size

PENDING_BYTES = 256 << 20


@dataclass(slots=True)
class Batcher:
    """Collects images until a canvas has `size_of(canvas)` of them.

    The batches depend only on the sequence of the images. An archive of many shapes would keep
    many half-filled batches: beyond `pending_bytes` of pixels the oldest one goes first.
    """

    stride: int
    size_of: Callable[[Size], int]
    pending_bytes: int = PENDING_BYTES
    _waiting: dict[Size, list[Loaded]] = field(default_factory=dict)  # oldest first
    _used: int = 0

    def add(self, item: Loaded) -> Iterator[tuple[Size, list[Loaded]]]:
        """The batches (canvas, images of that canvas) that are complete with this image."""
        assert item.image is not None, "failed images have no canvas"
        canvas = canvas_size(item.image.pixels.shape[:2], self.stride)
        group = self._waiting.setdefault(canvas, [])
        group.append(item)
        self._used += item.image.pixels.nbytes
        full = len(group) >= self.size_of(canvas)
        while full or self._used > self.pending_bytes:
            leaving = canvas if full else next(iter(self._waiting))
            ready = self._waiting.pop(leaving)
            self._used -= sum(one.image.pixels.nbytes for one in ready if one.image is not None)
            yield leaving, ready
            full = False

    def rest(self) -> Iterator[tuple[Size, list[Loaded]]]:
        """The batches that are left at the end of the images."""
        yield from self._waiting.items()
        self._waiting = {}
