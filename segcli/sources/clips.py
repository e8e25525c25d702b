"""Videos in a source: each becomes the samples of its wanted frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from segcli.errors import ImageError
from segcli.sources.clip_times import COLUMN, taken
from segcli.sources.containers import Containers
from segcli.sources.folder import is_video_name
from segcli.types import Sample

if TYPE_CHECKING:
    from segcli.video.every import Every
    from segcli.video.timeline import Timeline


def is_clip(sample: Sample) -> bool:
    """Whether the sample is a whole video file and not one of its frames."""
    return sample.frame is None and sample.data is None and is_video_name(sample.path)


def with_frames(
    samples: Iterator[Sample], every: Every, stream: int, containers: Containers
) -> Iterator[Sample]:
    """The samples, with each video replaced by those of its frames that `every` chooses.

    A video that cannot be read stays as it is and becomes a failed row. A video that stops before
    its stated end gets one more sample, for the first frame that is missing, and one that is
    damaged inside gets itself, after its frames. `containers` decides which videos are opened.
    """
    for sample in samples:
        if not is_clip(sample):
            yield sample
        elif containers.opens(sample):
            yield from _frames(sample, every, stream, containers)


def _frames(clip: Sample, every: Every, stream: int, containers: Containers) -> Iterator[Sample]:
    from segcli.video.timeline import looks_like_video, read_timeline  # PyAV: where needed

    if not looks_like_video(clip.path):
        return
    try:
        timeline = read_timeline(clip.path, stream)
    except ImageError:
        yield clip
        return
    containers.has_videos = True
    if containers.records_times and clip.carried.get(COLUMN) is None:
        clip = _timed(clip, timeline, containers)
    for index in every.choose(timeline):
        yield _frame(clip, index, timeline.times[index])
    if timeline.ends is not None:
        yield _frame(clip, len(timeline.times), None)
    if timeline.damage is not None:
        yield clip


def _timed(clip: Sample, timeline: Timeline, containers: Containers) -> Sample:
    """The clip with the time of its start, where that is known."""
    try:
        start = taken(clip.path, timeline)
    except ValueError:
        containers.untimed.add(clip.key)
        return clip
    return clip if start is None else replace(clip, carried={**clip.carried, COLUMN: start})


def _frame(clip: Sample, index: int, time_s: float | None) -> Sample:
    return replace(clip, key=f"{clip.key}#frame={index}", frame=index, time_s=time_s)
