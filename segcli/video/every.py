"""Which frames of a video are wanted: every n-th, one per interval, or the keyframes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from segcli.errors import UsageError

if TYPE_CHECKING:
    from segcli.video.timeline import Timeline

_TEXT = re.compile(r"(\d+)f|(\d+(?:\.\d+)?|\.\d+)(ms|s|m)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0}
_ROUNDING = 1e-6  # s: times are multiples of the stream's time base, stored as floats


@dataclass(frozen=True, slots=True)
class Every:
    """`frames`: every n-th frame; `seconds`: by presentation time; neither: only keyframes."""

    frames: int | None = None
    seconds: float | None = None

    def choose(self, timeline: Timeline) -> Iterator[int]:
        """The indices of the wanted frames in ascending order, always including the first frame.

        With `seconds`, the first frame at or after each multiple of `seconds` since the first one.
        """
        if self.frames is not None:
            yield from range(0, len(timeline.times), self.frames)
        elif self.seconds is not None:
            yield from self._by_time(timeline.times)
        else:
            yield from sorted({0, *timeline.keyframes} if timeline.times else ())

    def _by_time(self, times: list[float]) -> Iterator[int]:
        seconds = self.seconds or 1.0
        due = None
        for index, time in enumerate(times):
            if due is None or time >= due - _ROUNDING or time < due - 2 * seconds:
                yield index
                # Counted from the first frame, so that rounding errors do not add up; after a jump
                # of the clock in either direction, counted from the frame after it.
                steps = 0 if due is None else (time + _ROUNDING - times[0]) // seconds
                due = times[0] + (steps + 1) * seconds


def parse_every(text: str) -> Every:
    """ "5f", "1s", "500ms", "2m" or "keyframe". Raises UsageError."""
    if text == "keyframe":
        return Every()
    if match := _TEXT.fullmatch(text.strip()):
        if match[1]:
            if int(match[1]) >= 1:
                return Every(frames=int(match[1]))
        elif float(match[2]) > 0:
            return Every(seconds=float(match[2]) * _SECONDS[match[3]])
    raise UsageError(
        f"{text!r} is not a choice of frames: expected 5f (every fifth frame), 1s (one frame per "
        "second; also ms and m), or keyframe"
    )
