"""Videos in a source: each becomes the samples of its wanted frames."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import IO, TYPE_CHECKING

from segcli.cloud.errors import is_of_storage
from segcli.cloud.urls import is_url
from segcli.errors import ImageError
from segcli.keys import containers_of
from segcli.sources.archive_files import BROKEN, Place, open_bytes, words
from segcli.sources.clip_times import COLUMN, taken
from segcli.sources.containers import Containers
from segcli.sources.folder import is_video_name
from segcli.types import Sample
from segcli.video.file import AT_ONCE, VideoFile

if TYPE_CHECKING:
    from segcli.video.every import Every
    from segcli.video.timeline import Timeline


def is_clip(sample: Sample) -> bool:
    """Whether the sample is a whole video file and not one of its frames."""
    name = sample.path if sample.member is None else sample.member.name
    return sample.frame is None and sample.data is None and is_video_name(name)


def clip_file(sample: Sample) -> VideoFile:
    """The video of a sample that is a video or a frame of one."""
    if sample.member is None:
        return VideoFile(sample.path)
    place = Place(sample.path, sample.mtime_ns, sample.member)
    return VideoFile(sample.member.name, partial(_open_inside, place))


def held_bytes(sample: Sample) -> int:
    """How much memory a video takes while it is open: the whole of it, if it is compressed inside
    an archive."""
    member = sample.member
    return 0 if member is None or member.offset is not None else member.size


def _open_inside(place: Place) -> IO[bytes]:
    try:
        file = open_bytes(place)
    except FileNotFoundError:
        raise ImageError("the archive has vanished since it was listed") from None
    except BROKEN as error:
        raise ImageError(f"cannot read it from the archive: {words(error)}") from error
    return io.BufferedReader(file, AT_ONCE) if is_url(place.path) else file  # type: ignore[type-var]


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
            names = containers.names if sample.frame is None else None
            yield sample if names is None else names.stated(sample)
        elif sample.member is not None or containers.opens(sample):
            yield from _frames(sample, every, stream, containers)


def _frames(clip: Sample, every: Every, stream: int, containers: Containers) -> Iterator[Sample]:
    from segcli.video.timeline import looks_like_video, read_timeline  # PyAV: where needed

    file = clip_file(clip)
    if not looks_like_video(file):
        return
    try:
        timeline = read_timeline(file, stream)
    except ImageError as error:
        if is_of_storage(error.__cause__ or error):
            containers.unread.update((clip.key, *containers_of(clip.key)))
        yield clip
        return
    if timeline.is_interrupted:
        containers.unread.update((clip.key, *containers_of(clip.key)))
    containers.has_videos = True
    if containers.names is not None:
        clip = containers.names.stated(clip, timeline.times[0])
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
        start = taken(None if clip.member is not None else clip.path, timeline)
    except ValueError:
        containers.untimed.add(clip.key)
        return clip
    return clip if start is None else replace(clip, carried={**clip.carried, COLUMN: start})


def _frame(clip: Sample, index: int, time_s: float | None) -> Sample:
    return replace(clip, key=f"{clip.key}#frame={index}", frame=index, time_s=time_s)
