"""Hive-style partitions of an output: OUT/date=2026-11-27/camera=gate/part-....parquet.

The partition of an image depends on its key alone, and for a frame on that of its video, so that
an image stays in its partition when its file changes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from segcli import cameras, time_patterns
from segcli.errors import UsageError
from segcli.keys import split_frame

BY, PATTERN = "partition_by", "time_pattern"
"""What the settings of a run call the fields of `Partitions`."""

UNKNOWN = "__HIVE_DEFAULT_PARTITION__"
"""Hive's name for the partition without a value; readers read it as null."""

_TO_ESCAPE = re.compile(r"[\x00-\x1f\x7f\"#%'*/:=?\\{\[\]^]")
_LONGEST = 255  # bytes in the name of a folder
_DATE = re.compile(
    r"(?<!\d)((?:19|20)\d\d)(?:([-_./ :])(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?!\d)"
    r"|(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01]))"
)


@dataclass(frozen=True, slots=True)
class Partitions:
    """`by`: "date" and "camera" in the order of the folders. `pattern` finds them in keys, see
    segcli.time_patterns; where it states no whole date or no camera, `date_of` and `camera_of` do.
    """

    by: tuple[str, ...]
    pattern: str | None = None

    @staticmethod
    def parse(text: str, pattern: str | None) -> Partitions:
        """Of "date", "camera" or both, separated by a comma. Raises UsageError."""
        by = tuple(text.split(","))
        if not {*by} <= {*_VALUES} or len({*by}) < len(by):
            raise UsageError(f"`{BY}` {text!r}: expected date, camera or date,camera")
        return Partitions(by, pattern)

    @staticmethod
    def of(settings: Mapping[str, Any]) -> Partitions | None:
        """Those of a run with these settings, which `facts` made."""
        text = settings.get(BY)
        return None if text is None else Partitions.parse(text, settings.get(PATTERN))

    def facts(self) -> dict[str, str]:
        """What decides the partitions, for the settings of a run."""
        facts = {BY: ",".join(self.by)}
        return facts if self.pattern is None else {**facts, PATTERN: self.pattern}

    def unstated(self, keys: Iterable[str]) -> str | None:
        """ "date" or "camera" if the folders are by it but no key states it; None otherwise. Reads
        keys until each has been stated. A camera counts as stated unless the pattern has one."""
        left = [*self.by]
        for key in keys:
            own, _ = split_frame(key)
            left = [name for name in left if not self._is_stated(name, own)]
            if not left:
                return None
        return left[0]

    def _is_stated(self, name: str, key: str) -> bool:
        if name == "date":
            return _date_value(key, key, self.pattern) is not None
        if self.pattern is None or not time_patterns.states_camera(self.pattern):
            return True
        return time_patterns.camera_of(self.pattern, key) is not None

    def folder(self, key: str) -> str:
        """The folder of the image in an output, as in "date=2026-11-27/camera=gate"."""
        own, _ = split_frame(key)
        return "/".join(_named(name, _VALUES[name](own, key, self.pattern)) for name in self.by)


def is_folder(name: str) -> bool:
    """Whether a folder in an output may be that of a partition."""
    return name.partition("=")[0] in _VALUES and "=" in name


def date_of(key: str) -> date | None:
    """The date in the key of a file: year, month and day with one separator or none.

    The first one in the name of the file, else the last one in the folders.
    """
    in_name = _dates(key.rpartition("/")[2])
    in_key = in_name or _dates(key)[-1:]
    return in_key[0] if in_key else None


def _dates(text: str) -> list[date]:
    found = []
    for match in _DATE.finditer(text):
        year, _, *months_and_days = match.groups()
        month, day = (part for part in months_and_days if part is not None)
        try:
            found.append(date(int(year), int(month), int(day)))
        except ValueError:  # such as 30 February
            continue
    return found


def _date_value(own: str, key: str, pattern: str | None) -> str | None:
    if pattern is not None and time_patterns.states_date(pattern):
        moment = time_patterns.moment_of(pattern, own)
        return None if moment is None else moment.date().isoformat()
    found = date_of(own)
    return None if found is None else found.isoformat()


def _camera_value(own: str, key: str, pattern: str | None) -> str | None:
    stated = None if pattern is None else time_patterns.camera_of(pattern, own)
    return cameras.camera_of(key, stated)


_VALUES: dict[str, Callable[[str, str, str | None], str | None]] = {
    "date": _date_value,
    "camera": _camera_value,
}


def _named(name: str, value: str | None) -> str:
    """ "camera=site%2Fgate"; a value too long for the name of a folder counts as unknown."""
    if value is not None:
        escaped = _TO_ESCAPE.sub(lambda found: f"%{ord(found[0]):02X}", value)
        if len(f"{name}={escaped}".encode()) <= _LONGEST:
            return f"{name}={escaped}"
    return f"{name}={UNKNOWN}"
