"""Drawn frames back into a video: a door to PyAV.

Frames are numbered from 0 in the order in which they are shown. Times are kept as they are: a
video of every tenth frame shows each of them at its own moment, and the sound fits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from numpy.typing import NDArray

from segcli.errors import OutputError, UsageError

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet

_CLOCK = Fraction(1, 90_000)  # s: what video streams count in
_OPTIONS = {"crf": "20", "preset": "veryfast"}


class Writer:
    """An H.264 video (MP4) of pictures of one size; use it as a context manager.

    `sound`: the video whose sound goes along, as it is, from the first picture to the last.
    """

    def __init__(self, path: Path, sound: Path | None = None) -> None:
        self._path, self._sound_of = path, sound
        self._stack = ExitStack()
        self._size: tuple[int, int] | None = None
        self._sound: Iterator[tuple[float, Packet[Any]]] = iter(())
        self._heard: tuple[float, Packet[Any]] | None = None
        self._last = 0.0
        self.note: str | None = None
        """Why there is no sound although the source has some."""

    def __enter__(self) -> Writer:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._stack.enter_context(
                av.open(str(self._path), "w", options={"movflags": "faststart"})
            )
        except (av.FFmpegError, OSError) as error:
            raise OutputError(f"cannot write {self._path}: {error}") from None
        except ValueError as error:
            raise UsageError(f"--video {self._path}: {error}; name it *.mp4") from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self._size is not None and kind is None:
                self._file.mux(self._stream.encode(None))
                self._hear_until(self._last + 1 / float(self._stream.average_rate or 25))
            self._stack.close()
        except (av.FFmpegError, OSError) as failed:
            if kind is None:
                raise OutputError(f"cannot write {self._path}: {failed}") from None

    def add(self, pixels: NDArray[np.uint8], time_s: float, rate: Fraction) -> None:
        """A picture, uint8 (h, w, 3), shown from `time_s` on; times rise from call to call.

        `rate`: frames per second, about; only the first one counts.
        """
        pixels = _even(pixels)
        try:
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
        except (av.FFmpegError, OSError) as error:
            raise OutputError(f"cannot write {self._path}: {error}") from None

    def _begin(self, width: int, height: int, rate: Fraction) -> None:
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
        source = self._stack.enter_context(av.open(str(self._sound_of)))
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
    for packet in source.demux(stream):
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
