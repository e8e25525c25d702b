"""Draw the frames of a video, as a video and as pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path

from segcli.errors import ImageError, UsageError
from segcli.store.image_masks import ImageMasks
from segcli.video.file import VideoFile
from segcli.video.frames import read_frames
from segcli.viz.images import MissingFile
from segcli.viz.painter import Job, Painter
from segcli.viz.save import refuse_original
from segcli.viz.tracks import filled, moving
from segcli.viz.video import Writer

_USUAL = Fraction(25)  # frames a second where one frame alone tells nothing


def draw_video(
    frames: Sequence[ImageMasks],
    painter: Painter,
    *,
    target: Path | None,
    small: bool,
    tell: Callable[[str], None],
) -> Iterator[tuple[ImageMasks, Job]]:
    """Draw `frames`, ascending, all of one video; into the file `target` unless it is None.

    Each frame is shown at the time its row tells, or the video where the row tells none. `tell`
    hears what the new video lacks.
    """
    try:
        video = painter.images.video(frames[0].key)
        if target is not None and video.is_path:
            refuse_original(target, Path(video.name))
    except (ImageError, UsageError) as error:
        for image in frames:
            yield image, _failed(error)
        return
    with nullcontext() if target is None else Writer(target, video) as writer:
        yield from _drawn(frames, painter, video, writer, small)
    if writer is not None and writer.note is not None:
        tell(f"{target}: {writer.note}")


def _drawn(
    frames: Sequence[ImageMasks],
    painter: Painter,
    video: VideoFile,
    writer: Writer | None,
    small: bool,
) -> Iterator[tuple[ImageMasks, Job]]:
    """What goes wrong ends the video with the frames that it has; the others get the reason."""
    if painter.style.mode == "blur":
        frames = filled(frames)
    wanted = {frame.frame: frame for frame in frames if frame.frame is not None}
    moved = {frame.frame: one for frame, one in zip(frames, moving(frames), strict=True)}
    left = dict(wanted)
    try:
        for frame in read_frames(video, sorted(wanted)):
            image, pixels = left[frame.index], frame.pixels
            if pixels is None:
                del left[frame.index]
                yield image, Job(error=frame.error)
                continue
            if pixels.shape[:2] != image.size:
                raise ImageError(
                    f"the frames are {pixels.shape[1]} x {pixels.shape[0]} px, the row says "
                    f"{image.width} x {image.height}: another video?"
                )
            shown, job = painter.paint_pixels(image, pixels, small, moved[frame.index])
            moment = image.time_s if image.time_s is not None else frame.time_s
            if writer is not None and moment is not None:
                writer.add(shown, moment, _rate(frames))
            del left[frame.index]
            yield image, job
    except (ImageError, UsageError) as error:
        for image in left.values():
            yield image, _failed(error)


def _failed(error: Exception) -> Job:
    return Job(error=str(error), is_missing=isinstance(error, MissingFile))


def _rate(frames: Sequence[ImageMasks]) -> Fraction:
    """Frames per second, about; players take the true times from the frames themselves."""
    first, last = frames[0].time_s, frames[-1].time_s
    if first is None or last is None or last <= first:
        return _USUAL
    return Fraction((len(frames) - 1) / (last - first)).limit_denominator(1000) or _USUAL
