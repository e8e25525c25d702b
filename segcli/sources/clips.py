"""Videos in a source: each becomes the samples of its wanted frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from segcli.cloud.urls import is_url
from segcli.errors import ImageError
from segcli.sources.folder import is_video_name
from segcli.types import Sample

if TYPE_CHECKING:
    from segcli.video.every import Every


def is_clip(sample: Sample) -> bool:
    """Whether the sample is a whole video file and not one of its frames."""
    return sample.frame is None and sample.data is None and is_video_name(sample.path)


def with_frames(
    samples: Iterator[Sample],
    every: Every,
    stream: int = 0,
    opens: Callable[[Sample], bool] = lambda clip: True,
) -> Iterator[Sample]:
    """The samples, with each video replaced by the frames that `every` selects.

    A video that cannot be read is kept and becomes a failed row. A video that stops before
    its stated end gets one more sample, for the first frame that is missing. One that `opens`
    refuses is left out.
    """
    for sample in samples:
        if not is_clip(sample) or is_url(sample.path):
            yield sample
        elif opens(sample):
            yield from _frames(sample, every, stream)


def _frames(clip: Sample, every: Every, stream: int) -> Iterator[Sample]:
    from segcli.video.timeline import looks_like_video, read_timeline  # PyAV: where needed

    if not looks_like_video(clip.path):
        return
    try:
        timeline = read_timeline(clip.path, stream)
    except ImageError:
        yield clip
        return
    for index in every.choose(timeline):
        yield _frame(clip, index, timeline.times[index])
    if timeline.ends is not None:
        yield _frame(clip, len(timeline.times), None)


def _frame(clip: Sample, index: int, time_s: float | None) -> Sample:
    return replace(clip, key=f"{clip.key}#frame={index}", frame=index, time_s=time_s)
