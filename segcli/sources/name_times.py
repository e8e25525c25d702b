"""Time and camera that the names of images and videos state, as columns of their rows."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from segcli.cameras import COLUMN as CAMERA
from segcli.keys import split_frame
from segcli.sources.clip_times import COLUMN as TAKEN
from segcli.time_patterns import camera_of, compiled, moment_of
from segcli.types import Sample


@dataclass(slots=True)
class NameTimes:
    """What names state by `pattern`, see segcli.time_patterns. `columns` are those that it fills.
    `lacking` are those that it cannot fill, `unfit` is a key that the pattern does not fit,
    `fits` whether it fits any."""

    pattern: str
    columns: Set[str] = frozenset()
    lacking: Set[str] = frozenset()
    unfit: str | None = None
    fits: bool = False

    def joined(self, carried: Mapping[str, Any], there: Mapping[str, Any] | None) -> dict[str, Any]:
        """`carried` with the columns of the pattern. `there` are those of the output, None while
        there is none. Columns of another type, or that the output lacks, are not filled."""
        import pyarrow as pa

        fields = {*compiled(self.pattern)[1]}
        named = [TAKEN] if fields - {"camera"} else []
        named += [CAMERA] if "camera" in fields else []
        added = {name: pa.string() for name in named if there is None or name in there}
        types = {**added, **carried}
        self.columns = frozenset(name for name in added if types[name] == pa.string())
        self.lacking = frozenset(named) - self.columns
        return types

    def stated(self, sample: Sample, begins_s: float = 0.0) -> Sample:
        """The sample with its time and camera, where it has none yet; `begins_s` is the time of
        the first frame of a video."""
        key, _ = split_frame(sample.key)
        moment, camera = moment_of(self.pattern, key), camera_of(self.pattern, key)
        if moment is None and camera is None:
            self.unfit = sample.key
            return sample
        self.fits = True
        found: dict[str, str] = {}
        if moment is not None and TAKEN in self.columns:
            found[TAKEN] = (moment - timedelta(seconds=begins_s)).isoformat(" ")
        if camera is not None and CAMERA in self.columns:
            found[CAMERA] = camera
        known = {name: value for name, value in sample.carried.items() if value is not None}
        return replace(sample, carried={**sample.carried, **found, **known})

    def remark(self) -> str | None:
        """What was not found, after a run."""
        if self.unfit is not None and not self.fits:
            return (
                f"`time_pattern` {self.pattern!r} fits none of the names in this run, such as "
                f"{self.unfit}"
            )
        if self.lacking:
            lacking = sorted(self.lacking)
            columns = " and no ".join(f"text column src_{name}" for name in lacking)
            facts = " and ".join({TAKEN: "times", CAMERA: "cameras"}[name] for name in lacking)
            return (
                f"the output has no {columns}, so {facts} are not written; give `segcli stats` the "
                "same `time_pattern`"
            )
        if self.unfit is None:
            return None
        return f"`time_pattern` {self.pattern!r} does not fit all names, such as {self.unfit}"
