"""Which images share a batch: those of one canvas, in an order that no thread can change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from segcli.images.batch import canvas_size
from segcli.pipeline.stages.prefetch import Loaded
from segcli.types import Size

PENDING_BYTES = 256 << 20


def grouped(
    images: Iterable[Loaded],
    stride: int,
    size_of: Callable[[Size], int],
    *,
    pending_bytes: int = PENDING_BYTES,
) -> Iterator[tuple[Size, list[Loaded]]]:
    """(canvas, images of that canvas), at most `size_of(canvas)` each; every image must be there.

    The groups depend on the sequence of the images alone. An archive of many shapes would keep many
    half-filled groups: beyond `pending_bytes` of pixels the one that has waited longest goes first.
    """
    waiting: dict[Size, list[Loaded]] = {}  # in the order of each group's first image
    used = 0
    for item in images:
        assert item.image is not None, "failed images have no canvas"
        canvas = canvas_size(item.image.pixels.shape[:2], stride)
        group = waiting.setdefault(canvas, [])
        group.append(item)
        used += item.image.pixels.nbytes
        full = len(group) >= size_of(canvas)
        while full or used > pending_bytes:
            leaving = canvas if full else next(iter(waiting))
            ready = waiting.pop(leaving)
            used -= sum(one.image.pixels.nbytes for one in ready if one.image is not None)
            yield leaving, ready
            full = False
    yield from waiting.items()
