"""Skip frames that look like the last processed frame of their camera.

Comparisons stay within a *stretch*: frames of one clip, or stills of one camera, of the same
`max_age` seconds of the clock. The first image of a stretch is always processed. A chunk contains
whole stretches, so which frames are skipped depends neither on the cut of chunks, nor on the number
of workers, nor on kills.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from segcli.cameras import COLUMN, camera_of
from segcli.errors import UsageError

if TYPE_CHECKING:
    from segcli.images.look import Look
    from segcli.types import Sample

MOST = 4096
"""Images of a stretch in one chunk; a longer stretch is cut."""

_VERSION = 1  # increased when the same images give other static frames


@dataclass(frozen=True, slots=True)
class StaticRule:
    """Frames are static if no cell of the grid changes by `threshold` grey levels; at least one
    frame in `max_age` seconds is processed."""

    threshold: float
    max_age: float

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 256:
            raise UsageError(
                f"`static_threshold` {self.threshold:g}: expected grey levels above 0, below 256"
            )
        if not self.max_age > 0:
            raise UsageError(f"`static_age` {self.max_age:g}: expected seconds, above 0")

    def facts(self) -> dict[str, Any]:
        """What decides the rows, for the settings of the run."""
        from segcli.images.look import GRID

        rows, columns = GRID
        return {
            "grid": f"{columns}x{rows}",
            "threshold": self.threshold,
            "max_age_s": self.max_age,
            "version": _VERSION,
        }

    def stretch(self, sample: Sample) -> tuple[str, int | None]:
        """The clip or camera of an image, and the number of its period of `max_age`."""
        if sample.frame is not None:
            time_s = sample.time_s
            clip = sample.key.rpartition("#frame=")[0]
            return clip, None if time_s is None else int(time_s // self.max_age)
        stated = sample.carried.get(COLUMN)
        camera = camera_of(sample.key, None if stated is None else str(stated))
        mtime_ns = sample.mtime_ns
        return camera, None if mtime_ns is None else int(mtime_ns / 1e9 // self.max_age)


@dataclass(slots=True)
class Comparison:
    """Compares the images of a chunk in their order."""

    rule: StaticRule
    _stretch: tuple[str, int | None] | None = None
    _key: str = ""
    _last: Look | None = None

    def repeated(self, sample: Sample, look: Look) -> str | None:
        """The key of the processed frame that this one repeats, or None: it is to be processed."""
        from segcli.images.look import differ

        stretch = self.rule.stretch(sample)
        if (
            self._last is not None
            and stretch == self._stretch
            and not differ(self._last, look, threshold=self.rule.threshold)
        ):
            return self._key
        self._stretch, self._key, self._last = stretch, sample.key, look
        return None
