"""The frames of a video file with their times, read from its packets without decoding."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any

import av

from segcli.cloud.errors import is_of_storage
from segcli.errors import ImageError
from segcli.video.file import VideoFile, video_file
from segcli.video.matroska import damaged_at

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream

_HEAD = 1024  # bytes; an MPEG transport stream has NULs in them, and no text has
_FIRST_YEAR = 1990  # of digital video; unset clocks say 1904, 1970 or 1980
_SHORT_BY = 1.0  # s that may be missing at the end of a file


@dataclass(frozen=True, slots=True)
class Timeline:
    """The frames of one stream in display order.

    `times` are presentation times in s as in the file (the first need not be 0). `pts` are the same
    in the units of the stream, or empty if they do not identify frames, because there are none or
    they jump back; then frames are found only by counting. `keyframes` are indices. `ends` states
    why the file stops before its stated end, or is None. `created` is when recording began, by the
    container. `damage` says where frames are missing that the reader has passed over. `file` is
    where it was read. `is_interrupted`: the storage failed, perhaps for a time.
    """

    file: VideoFile
    times: list[float]
    pts: list[int]
    keyframes: list[int]
    ends: str | None = None
    stream: int = 0
    created: datetime | None = None
    damage: str | None = None
    is_interrupted: bool = False


def looks_like_video(video: str | VideoFile) -> bool:
    """False for a TypeScript file, which has the suffix .ts, too."""
    found = video_file(video)
    if not found.name.lower().endswith(".ts"):
        return True
    try:
        with found.open() as file:
            head = file.read(_HEAD)
    except (OSError, ImageError):
        return True  # becomes a failed row
    return not head or b"\0" in head or b"\xff" in head


def why_unreadable(video: str | VideoFile, stream: int = 0) -> str:
    """The reason why a video is listed as a whole."""
    try:
        damage = read_timeline(video, stream).damage
    except ImageError as error:
        return str(error)
    return damage or "the video could not be read when it was listed; run the command again"


def read_timeline(video: str | VideoFile, stream: int = 0, *, find_damage: bool = True) -> Timeline:
    """Demux the file once; `stream` counts its video streams.

    Raises ImageError when the file cannot be opened as a video, has no such stream or is encrypted.
    """
    packets: list[tuple[int | None, float, bool]] = []
    positions: list[int] = []
    damage: str | None = None
    broken: str | None = None
    is_interrupted = False
    created: datetime | None = None
    latest = 0.0  # s, of any stream
    where = video_file(video)
    with opened(where, stream) as (file, frames):
        rate = float(frames.average_rate or frames.guessed_rate or 25)
        stated, created = _stated_end(file, frames), _created(file, frames)
        try:
            for packet in packets_of(file):
                if not packet.size or packet.is_discard:
                    continue
                latest = max(latest, _end(packet))
                if packet.stream_index == frames.index:
                    if packet.has_sidedata("encryption_info"):
                        raise ImageError("the video is encrypted: decrypt it first")
                    time = _time(packet)
                    time = len(packets) / rate if time is None else time
                    packets.append((packet.pts, time, packet.is_keyframe))
                    positions.append(packet.pos or 0)
        except (av.FFmpegError, OSError) as error:
            broken, is_interrupted = reason(error), is_of_storage(error)
        if broken is None and 0 < len(packets) < frames.frames:
            broken = f"the file states {frames.frames} frames"
        elif broken is None and frames.frames == 0 and stated and latest < stated - _SHORT_BY:
            broken = f"the file states {stated:.1f} s"
        is_matroska = file.format.name.startswith("matroska")
        if broken is None and find_damage and is_matroska and where.is_path:
            times = [time for _, time, _ in packets]
            damage = _damage(where.name, positions, times)
    if not packets:
        raise ImageError(f"no frame in the video: {broken or 'its stream is empty'}")
    return replace(
        _ordered(where, packets, broken),
        stream=stream,
        created=created,
        damage=damage,
        is_interrupted=is_interrupted,
    )


def _ordered(
    file: VideoFile, packets: list[tuple[int | None, float, bool]], ends: str | None
) -> Timeline:
    """Sort packets, which are in decoding order, by their times."""
    known = [pts for pts, _, _ in packets if pts is not None]
    by_time = sorted(range(len(packets)), key=lambda i: packets[i][1])
    moved = max((abs(i - position) for position, i in enumerate(by_time)), default=0)
    # A decoder reorders by 16 frames at most; a larger move is a jump of the clock.
    if len(known) == len(set(known)) == len(packets) and moved <= 16:
        order, pts = by_time, [packets[i][0] or 0 for i in by_time]
    else:
        order, pts = list(range(len(packets))), []
    return Timeline(
        file,
        times=[packets[i][1] for i in order],
        pts=pts,
        keyframes=[position for position, i in enumerate(order) if packets[i][2]],
        ends=ends,
    )


@contextmanager
def opened(where: VideoFile, stream: int) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its `stream`-th video stream. Raises ImageError."""
    try:
        with ExitStack() as stack:
            source = where.name if where.is_path else stack.enter_context(where.open())
            if _size(source) == 0:
                raise ImageError("the video file is empty")
            file = stack.enter_context(av.open(source, "r", metadata_errors="replace"))
            videos = [s for s in file.streams.video if not _is_cover(s)]
            if not videos:
                has = "only sound" if file.streams.audio else "no picture"
                raise ImageError(f"not a video: the file has {has}")
            if stream >= len(videos):
                raise ImageError(
                    f"no video stream {stream}: the file has {len(videos)}, counted from 0"
                )
            yield file, videos[stream]
    except FileNotFoundError:
        raise ImageError("the file has vanished since it was listed") from None
    except (av.FFmpegError, OSError) as error:
        raise ImageError(f"not a readable video: {reason(error)}{_hint(where)}") from error


def packets_of(file: InputContainer, *streams: Stream) -> Iterator[Packet[Any]]:
    """The packets of these streams, or of all.

    Behind the last packet, PyAV fails if there are more streams than at the start, as in an MPEG
    transport stream whose program has changed, or seems to have because it is damaged.
    """
    with suppress(IndexError):
        yield from file.demux(*streams)


def _size(source: str | IO[bytes]) -> int:
    if isinstance(source, str):
        return os.path.getsize(source)
    size = source.seek(0, os.SEEK_END)
    source.seek(0)
    return size


def _hint(where: VideoFile) -> str:
    """The most common reason why an MP4 file cannot be opened."""
    if not where.name.lower().endswith((".mp4", ".mov", ".m4v", ".3gp", ".3g2")):
        return ""
    try:
        with where.open() as file:
            is_mp4 = file.read(8)[4:] == b"ftyp"
    except (OSError, ImageError):
        return ""
    return "; its index is missing: it was truncated or is still being written" if is_mp4 else ""


def reason(error: Exception) -> str:
    """The message of libav or the system, without the path."""
    return (getattr(error, "strerror", None) or str(error)).strip() or type(error).__name__


def _is_cover(video: VideoStream) -> bool:
    """Whether it is the cover picture of music."""
    return bool(video.disposition & av.stream.Disposition.attached_pic)


def _time(packet: Packet[Any]) -> float | None:
    if packet.pts is None or packet.time_base is None:
        return None
    return float(packet.pts * packet.time_base)


def _end(packet: Packet[Any]) -> float:
    time = _time(packet)
    return 0.0 if time is None else time + float((packet.duration or 0) * (packet.time_base or 0))


def _damage(path: str, positions: list[int], times: list[float]) -> str | None:
    """Where a Matroska file is damaged. `positions` are those of the packets in the file."""
    if (at := damaged_at(path)) is None:
        return None
    behind = next((time for pos, time in zip(positions, times, strict=True) if pos > at), None)
    where = "at its end" if behind is None else f"before {behind:.2f} s"
    return f"frames {where} are missing: the file is damaged from byte {at:,} on"


def _created(file: InputContainer, video: VideoStream) -> datetime | None:
    """When recording began, by the container: the local time of the camera where it says so (as
    phones of Apple do), else UTC. None for what can only be a clock that was never set."""
    metadata = {**video.metadata, **file.metadata}
    for name in ("com.apple.quicktime.creationdate", "creation_time"):
        try:
            found = datetime.fromisoformat(metadata[name].strip()).replace(tzinfo=None)
        except (KeyError, ValueError):
            continue
        if found.year >= _FIRST_YEAR:
            return found
    return None


def _stated_end(file: InputContainer, video: VideoStream) -> float | None:
    """The stated end in s; None if the container has none."""
    if file.duration is None:
        return None
    return (file.duration + max(file.start_time or 0, 0)) / av.time_base
