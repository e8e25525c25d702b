"""Decode wanted frames of a video in order, as upright, deinterlaced RGB."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av
import numpy as np
from numpy.typing import NDArray

from segcli.errors import ImageError
from segcli.video.file import VideoFile
from segcli.video.timeline import Timeline, opened, packets_of, read_timeline, reason

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

SEEK_BEYOND = 24
"""In frames: for a keyframe farther ahead than this, the reader seeks. A seek flushes the decoder,
which costs about as much as decoding the frames that it buffers."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One wanted frame: `pixels` uint8 (h, w, 3) RGB, or the `error` for its row. `time_s` is its
    presentation time, None for a frame that the video does not have.

    `damaged`: data before it, since the last keyframe, could not be decoded.
    """

    index: int
    pixels: NDArray[np.uint8] | None = None
    error: str | None = None
    damaged: bool = False
    time_s: float | None = None


def read_frames(
    video: str | VideoFile,
    wanted: Sequence[int],
    *,
    stream: int = 0,
    threads: int = 1,
    before: Callable[[int, tuple[int, int]], None] = lambda index, size: None,
) -> Iterator[Frame]:
    """Yield each of `wanted` (ascending indices) once, in order, even if the file is damaged.

    `before(index, (h, w))` is called before the pixels of a frame are made. Raises ImageError if
    the file cannot be read as a video at all.
    """
    timeline = read_timeline(video, stream, find_damage=False)
    there = [index for index in wanted if index < len(timeline.times)]
    with opened(timeline.file, stream) as (file, decoder):
        decoder.codec_context.thread_count = threads
        decoder.codec_context.thread_type = "AUTO"
        waiting = iter(there)
        awaited = next(waiting, None)
        for index, frame, damaged in _decoded(file, decoder, timeline, there) if there else ():
            while awaited is not None and awaited < index:
                yield _undecodable(awaited)
                awaited = next(waiting, None)
            if index == awaited:
                before(index, (frame.height, frame.width))
                yield Frame(index, _upright(frame), None, bool(damaged), timeline.times[index])
                awaited = next(waiting, None)
            if awaited is None:
                break
        while awaited is not None:
            yield _undecodable(awaited)
            awaited = next(waiting, None)
    for index in wanted[len(there) :]:
        yield Frame(index, error=_past_the_end(timeline))


def _decoded(
    file: InputContainer, video: VideoStream, timeline: Timeline, wanted: Sequence[int]
) -> Iterator[tuple[int, VideoFrame, bool]]:
    """(index, frame, damaged) from the keyframe before the first wanted one; jumps over gaps."""
    if not timeline.pts:
        for index, (frame, damaged) in enumerate(_stream(file, video)):
            yield index, frame, damaged
        return
    index_of = {pts: index for index, pts in enumerate(timeline.pts)}
    position = 0  # of the last frame from the decoder
    for number, target in enumerate(wanted):
        keyframe = _keyframe_before(timeline, target)
        if number and keyframe - position <= SEEK_BEYOND:
            continue  # decoding continues to it below
        last = _next_jump(timeline, wanted[number:])
        found = _from_keyframe(file, video, timeline, target, index_of, is_fresh=number == 0)
        for index, frame, damaged in found:
            position = index
            yield index, frame, damaged
            if index >= last:
                break
        else:
            position = max(position, last)


def _from_keyframe(
    file: InputContainer,
    video: VideoStream,
    timeline: Timeline,
    target: int,
    index_of: Mapping[int, int],
    *,
    is_fresh: bool,
) -> Iterator[tuple[int, VideoFrame, bool]]:
    """Frames from `target`, or earlier, to the end. `is_fresh`: nothing has been read of the file.

    A seek in a container without an index may land after the keyframe; then a seek to an earlier
    keyframe is tried, and finally decoding from the beginning.
    """
    keyframe = _keyframe_before(timeline, target)
    starts = [keyframe, _keyframe_before(timeline, keyframe - 4 * SEEK_BEYOND)]
    for start in starts if keyframe > SEEK_BEYOND else ():
        file.seek(timeline.pts[start], stream=video, backward=True)
        frames = _indexed(_stream(file, video), index_of)
        first = next(frames, None)
        if first is not None and first[0] <= target:
            yield first
            yield from frames
            return
    if is_fresh and keyframe <= SEEK_BEYOND:
        yield from _indexed(_stream(file, video), index_of)
        return
    with opened(timeline.file, timeline.stream) as (again, first_frames_of):
        first_frames_of.codec_context.thread_count = video.codec_context.thread_count
        yield from _indexed(_stream(again, first_frames_of), index_of)


def _indexed(
    frames: Iterator[tuple[VideoFrame, bool]], index_of: Mapping[int, int]
) -> Iterator[tuple[int, VideoFrame, bool]]:
    for frame, damaged in frames:
        if frame.pts is not None and frame.pts in index_of:
            yield index_of[frame.pts], frame, damaged


def _keyframe_before(timeline: Timeline, index: int) -> int:
    at = bisect.bisect_right(timeline.keyframes, index) - 1
    return timeline.keyframes[at] if at >= 0 else 0


def _next_jump(timeline: Timeline, wanted: Sequence[int]) -> int:
    """The wanted index after which seeking reaches the next one faster."""
    for here, there in zip(wanted, wanted[1:], strict=False):
        if _keyframe_before(timeline, there) - here > SEEK_BEYOND:
            return here
    return wanted[-1]


def _stream(file: InputContainer, video: VideoStream) -> Iterator[tuple[VideoFrame, bool]]:
    """Frames from the decoder, and whether they depend on data that could not be decoded.

    Packets that cannot be read or decoded are skipped; frames up to the next keyframe may then show
    artefacts.
    """
    packets = packets_of(file, video)
    damaged = False
    while True:
        try:
            packet = next(packets, None)
        except (av.FFmpegError, OSError):
            packet = None  # a truncated file: flush the decoder
        try:
            frames = video.codec_context.decode(packet if packet and packet.size else None)
        except av.EOFError:
            return
        except av.FFmpegError:
            frames, damaged = [], True
        for frame in frames:
            damaged = damaged and not frame.key_frame
            yield frame, damaged or frame.is_corrupt
        if packet is None or not packet.size:
            return


def _upright(frame: VideoFrame) -> NDArray[np.uint8]:
    if frame.interlaced_frame:
        frame = _deinterlaced(frame)
    pixels = frame.to_ndarray(format="rgb24")
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns))


def _deinterlaced(frame: VideoFrame) -> VideoFrame:
    """Deinterlace with libav's estdif, which interpolates one field of this frame along edges."""
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
    )
    estdif = graph.add("estdif", "mode=frame:deint=interlaced")
    sink = graph.add("buffersink")
    source.link_to(estdif)
    estdif.link_to(sink)
    graph.configure()
    try:
        source.push(frame)
        source.push(None)
        made = sink.pull()
    except av.FFmpegError as error:
        raise ImageError(f"the interlaced frame cannot be deinterlaced: {reason(error)}") from None
    return made  # type: ignore[return-value]


def _undecodable(index: int) -> Frame:
    return Frame(index, error="the frame cannot be decoded: its data is damaged or truncated")


def _past_the_end(timeline: Timeline) -> str:
    why = timeline.ends or "it is shorter than when it was listed"
    return f"the video ends before this frame, at {timeline.times[-1]:.2f} s: {why}"
