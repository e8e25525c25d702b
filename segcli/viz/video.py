"""Encode drawn frames as a video, with PyAV.

Frames are numbered from 0 in the order in which they are shown. Times are kept as they are: a
video of every tenth frame shows each of them at its own moment, and the sound fits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from numpy.typing import NDArray

from segcli.errors import UsageError
from segcli.files import replacing, reporting
from segcli.video.file import VideoFile
from segcli.video.timeline import packets_of

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet

_CLOCK = Fraction(1, 90_000)  # s: what video streams count in
_OPTIONS = {"crf": "20", "preset": "veryfast"}


class Writer:
    """An H.264 video (MP4) of pictures of one size; use it as a context manager.

    The file appears when it is complete, and not at all without a picture.
    `sound`: the video whose sound goes along, as it is, from the first picture to the last.
    """

    def __init__(self, path: Path, sound: VideoFile | None = None) -> None:
        self._path, self._sound_of = path, sound
        self._stack = ExitStack()
        self._size: tuple[int, int] | None = None
        self._sound: Iterator[tuple[float, Packet[Any]]] = iter(())
        self._heard: tuple[float, Packet[Any]] | None = None
        self._last = 0.0
        self.note: str | None = None
        """Why there is no sound although the source has some."""

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            with suppress(av.FFmpegError, OSError):
                self._stack.__exit__(kind, error, trace)
            return
        with reporting(self._path, errors=(av.FFmpegError,)), self._stack:
            if self._size is not None:
                self._file.mux(self._stream.encode(None))
                self._hear_until(self._last + 1 / float(self._stream.average_rate or 25))

    def add(self, pixels: NDArray[np.uint8], time_s: float, rate: Fraction) -> None:
        """A picture, uint8 (h, w, 3), shown from `time_s` on; times rise from call to call.

        `rate`: frames per second, about; only the first one counts.
        """
        pixels = _even(pixels)
        with reporting(self._path, errors=(av.FFmpegError,)):
            if self._size is None:
                self._begin(pixels.shape[1], pixels.shape[0], rate)
                self._begin_sound(time_s)
            if pixels.shape[:2] != self._size:
                raise UsageError(
                    f"--video: frames of {self._size} and {pixels.shape[:2]} px (h, w) do not make "
                    f"one video; choose one of the videos with --key"
                )
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.time_base = _CLOCK
            frame.pts = round(time_s / _CLOCK)
            self._hear_until(time_s)
            self._file.mux(self._stream.encode(frame))
            self._last = time_s

    def _begin(self, width: int, height: int, rate: Fraction) -> None:
        with ExitStack() as stack:
            unfinished = stack.enter_context(replacing(self._path, suffix=self._path.suffix))
            try:
                file = av.open(str(unfinished), "w", options={"movflags": "faststart"})
            except av.FFmpegError:
                raise
            except ValueError as error:
                raise UsageError(f"--video {self._path}: {error}; name it *.mp4") from None
            self._file = stack.enter_context(file)
            self._stack = stack.pop_all()
        self._stream = self._file.add_stream("libx264", rate=rate, options=_OPTIONS)
        self._stream.width, self._stream.height = width, height
        self._stream.pix_fmt = "yuv420p"
        self._stream.time_base = _CLOCK
        self._stream.codec_context.time_base = _CLOCK
        self._size = (height, width)

    def _begin_sound(self, first: float) -> None:
        """Finds the sound from `first` (s) on; not every kind of it goes into every file."""
        if self._sound_of is None:
            return
        file = self._stack.enter_context(self._sound_of.open())
        source = self._stack.enter_context(av.open(file, "r"))
        if not source.streams.audio:
            return
        stream = source.streams.audio[0]
        if stream.codec_context.name not in self._file.supported_codecs:
            kind = self._file.format.name.upper()
            self.note = f"without its sound: {stream.codec_context.name} does not go into {kind}"
            return
        try:
            target = self._file.add_stream_from_template(stream)
        except (av.FFmpegError, ValueError) as error:
            self.note = f"without its sound: {error}"
            return
        self._sound = _packets(source, stream, target, first)
        self._heard = next(self._sound, None)

    def _hear_until(self, time_s: float) -> None:
        """Copy the sound that begins before a moment, without decoding it."""
        while self._heard is not None and self._heard[0] < time_s:
            self._file.mux(self._heard[1])
            self._heard = next(self._sound, None)


def _packets(
    source: InputContainer, stream: AudioStream, target: AudioStream, first: float
) -> Iterator[tuple[float, Packet[Any]]]:
    """(when it begins, s; packet for `target`) of all that is heard at `first` or later."""
    for packet in packets_of(source, stream):
        if packet.pts is None or packet.time_base is None:
            continue  # the mark of the end
        begins = float(packet.pts * packet.time_base)
        if begins + float((packet.duration or 0) * packet.time_base) >= first:
            packet.stream = target
            yield begins, packet


def _even(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """H.264 with halved colour needs even sides: the last row or column is shown twice."""
    odd = ((0, pixels.shape[0] % 2), (0, pixels.shape[1] % 2), (0, 0))
    return np.pad(pixels, odd, mode="edge")
