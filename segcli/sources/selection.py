"""Selection of listed files by patterns of their keys and by their age."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from segcli.errors import UsageError
from segcli.types import Sample

_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_FUTURE_S = 86400
"""A file from further in the future has the time of a clock that is wrong: nobody writes it now."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """`include`, `exclude`: shell patterns, in which `*` also matches `/`; without an include, all
    keys are wanted. `newer_than`, `older_than`: ages in seconds, by the modification time at the
    time of listing. A file from the future counts as new, from more than a day on also as old,
    because it would be left out for years otherwise."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    newer_than: float | None = None
    older_than: float | None = None

    @property
    def is_everything(self) -> bool:
        return self == Wanted()

    def among(self, samples: Iterator[Sample]) -> Iterator[Sample]:
        """The wanted samples, including files without a known time, which become failed rows."""
        now = time.time()
        return (sample for sample in samples if self._has(sample, now))

    def _has(self, sample: Sample, now: float) -> bool:
        if self.include and not any(fnmatchcase(sample.key, p) for p in self.include):
            return False
        if any(fnmatchcase(sample.key, p) for p in self.exclude):
            return False
        if sample.mtime_ns is None:
            return True
        age = now - sample.mtime_ns / 1e9
        if self.newer_than is not None and age > self.newer_than:
            return False
        return self.older_than is None or age >= self.older_than or age < -_FUTURE_S


def parse_age(text: str) -> float:
    """ "90s", "5m", "2h", "1.5d" or "1w" in seconds. Raises UsageError."""
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a time: expected a number and s, m, h, d or w, e.g. 2h")
    return float(match[1]) * _SECONDS[match[2]]
