"""Decode frames of a video ahead of the model: one thread decodes those of a chunk in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from segcli.errors import ImageError
from segcli.sources import clip_file, refuse_growing
from segcli.types import Image, Sample, Size

if TYPE_CHECKING:
    from segcli.video.frames import Frame

Numbered = tuple[int, Sample]


def grouped_by_clip(samples: Sequence[Sample]) -> Iterator[list[Numbered]]:
    """(position, sample) of consecutive frames of one video together, in rising order; every other
    sample alone."""
    group: list[Numbered] = []
    for numbered in enumerate(samples):
        if group and not _goes_on(group[-1][1], numbered[1]):
            yield group
            group = []
        group.append(numbered)
    if group:
        yield group


def _goes_on(before: Sample, after: Sample) -> bool:
    if before.frame is None or after.frame is None:
        return False
    return (before.path, before.member) == (after.path, after.member) and before.frame < after.frame


def clip_images(
    group: Sequence[Numbered],
    *,
    stream: int,
    threads: int,
    max_pixels: int,
    take: Callable[[int, int], None],
) -> Iterator[Callable[[], Image]]:
    """For each frame of `group`, in order, a call that returns its image or raises ImageError.

    `take(position, bytes)` is called before the pixels of a frame are made. Raises ImageError when
    the video cannot be read at all or has grown since it was listed.
    """
    from segcli.video.frames import read_frames  # PyAV: only where there is a video

    refuse_growing(group[0][1])
    positions = {sample.frame: position for position, sample in group}

    def before(index: int, size: Size) -> None:
        if size[0] * size[1] > max_pixels:
            raise ImageError(
                f"frames of {size[1]} x {size[0]} px are larger than max_pixels, {max_pixels}"
            )
        take(positions[index], size[0] * size[1] * 3)

    wanted = [sample.frame for _, sample in group if sample.frame is not None]
    file = clip_file(group[0][1])
    frames = read_frames(file, wanted, stream=stream, threads=threads, before=before)
    for (_, sample), frame in zip(group, frames, strict=True):
        yield lambda sample=sample, frame=frame: _image(sample, frame)  # type: ignore[misc]


def _image(sample: Sample, frame: Frame) -> Image:
    if frame.pixels is None:
        raise ImageError(frame.error or "the frame cannot be decoded")
    height, width = frame.pixels.shape[:2]
    warnings = ("damaged: data of the frame is missing",) if frame.damaged else ()
    return Image(sample.key, frame.pixels, (height, width), warnings)
