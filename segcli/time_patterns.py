"""Names that state when an image was taken: patterns such as %Y%m%d_%H%M%S, given or recognised."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache

from segcli.errors import UsageError

_FIELDS = {
    "Y": (r"([12]\d{3})", "year"),
    "y": (r"(\d{2})", "short_year"),
    "m": (r"(0[1-9]|1[0-2])", "month"),
    "d": (r"(0[1-9]|[12]\d|3[01])", "day"),
    "H": (r"([01]\d|2[0-3])", "hour"),
    "M": (r"([0-5]\d)", "minute"),
    "S": (r"([0-5]\d)", "second"),
    "s": (r"(1\d{9})", "epoch"),  # and further digits: milliseconds, or nanoseconds
}
KNOWN = "%Y %y %m %d %H %M %S, %s (seconds since 1970), %(camera) and %%"
_TOKEN = re.compile(r"%\((camera)\)|%([A-Za-z%])")
_ENOUGH = 0.8  # of the names of a sample that a pattern must fit


@lru_cache(maxsize=64)
def compiled(pattern: str) -> tuple[str, tuple[str, ...]]:
    """A pattern such as "cam%(camera)_%Y%m%d-%H%M%S" as a regular expression, searched for in the
    key, with the names of its groups. Raises UsageError.

    It works in Python and in DuckDB. Where it begins with a number, no digit stands before it.
    """
    regex, fields, at = "", list[str](), 0
    for token in _TOKEN.finditer(pattern):
        regex += re.escape(pattern[at : token.start()])
        at = token.end()
        if token[1]:
            regex += "([^/]+?)"
            fields.append("camera")
        elif token[2] == "%":
            regex += "%"
        elif token[2] in _FIELDS:
            digits, name = _FIELDS[token[2]]
            regex += digits if regex else f"(?:^|[^0-9]){digits}"
            fields.append(name)
        else:
            raise UsageError(
                f"`time_pattern` {pattern!r}: %{token[2]} is unknown; known are {KNOWN}"
            )
    regex += re.escape(pattern[at:])
    if not fields or len(set(fields)) < len(fields):
        raise UsageError(
            f"`time_pattern` {pattern!r}: expected each of {KNOWN} at most once, and one of them "
            f"at least"
        )
    return regex, tuple(fields)


_DAY = r"(0[1-9]|[12]\d|3[01])"
_CLOCK = r"([01]\d|2[0-3])([-_.:/h ]?)([0-5]\d)(?:([-_.:/m ]?)([0-5]\d))?"
_DATES = (
    ("%Y", "%m", "%d", rf"(?<!\d)(?:19|20)\d\d([-_./ :]?)(?:0[1-9]|1[0-2])\1{_DAY}"),
    ("%d", "%m", "%Y", rf"(?<!\d){_DAY}([-_./ ])(?:0[1-9]|1[0-2])\2(?:19|20)\d\d"),
    ("%y", "%m", "%d", rf"(?<!\d)\d\d([-_./ :]?)(?:0[1-9]|1[0-2])\1{_DAY}"),
)
_BETWEEN = re.compile(r"(\D{0,6}?)" + _CLOCK)
_BETWEEN_NAME = re.compile(  # 2026-04-01/cam1_083000.jpg
    r"([-_./ ])[^/]*?[A-Za-z][^/]*?([-_. ])" + _CLOCK
)
_EPOCH = re.compile(r"(?<!\d)1\d{9}(?:\d{3}|\d{6}|\d{9})?(?!\d)")


def recognised(keys: Sequence[str], *, clock: bool) -> str | None:
    """The pattern that fits nearly all of these keys; None where there is none.

    `clock`: a date alone does not do. What fits the most wins; of those, what says the most.
    """
    counts = Counter(pattern for key in keys for pattern in {*_candidates(key)})
    best: tuple[int, int, bool, str] | None = None
    for pattern, _ in counts.most_common(20):
        moments = [moment for key in keys if (moment := moment_of(pattern, key)) is not None]
        least = 1.0 if "%y" in pattern or not _is_sure(pattern) else _ENOUGH
        if not moments or len(moments) < least * len(keys) or (clock and not _has_clock(pattern)):
            continue
        if not _is_sure(pattern) and not any(moment.hour for moment in moments):
            continue  # 20260401_0001: a number that counts
        plain = pattern.replace("%(camera)", "")
        rank = (len(moments), plain.count("%"), plain == pattern, pattern)
        best = max(best or rank, rank)
    return None if best is None else best[3]


def moment_of(pattern: str, key: str) -> datetime | None:
    """The time that a key states; None where the pattern does not fit, has only the camera, or the
    day does not exist."""
    texts = _fields_of(pattern, key)
    value = {name: int(text) for name, text in texts.items() if name != "camera"}
    if not value:
        return None
    try:
        if "epoch" in value:
            return datetime.fromtimestamp(value["epoch"], UTC).replace(tzinfo=None)
        if "short_year" in value:
            value["year"] = 2000 + value.pop("short_year")
        return datetime(**({"year": 1970, "month": 1, "day": 1} | value))  # type: ignore[arg-type]
    except ValueError:
        return None


def states_date(pattern: str) -> bool:
    """Whether a pattern states year, month and day."""
    fields = {"year" if name == "short_year" else name for name in compiled(pattern)[1]}
    return "epoch" in fields or {"year", "month", "day"} <= fields


def states_camera(pattern: str) -> bool:
    """Whether a pattern states the camera."""
    return "camera" in compiled(pattern)[1]


def camera_of(pattern: str, key: str) -> str | None:
    """The camera that a key states; None where the pattern does not fit or has none."""
    return _fields_of(pattern, key).get("camera")


def _fields_of(pattern: str, key: str) -> dict[str, str]:
    regex, fields = compiled(pattern)
    found = re.search(regex, key)
    return {} if found is None else dict(zip(fields, found.groups(), strict=True))


def _candidates(key: str) -> Iterator[str]:
    """The patterns that the digits of one key suggest."""
    if _EPOCH.search(key):
        yield "%s"
    for first, month, last, regex in _DATES:
        for date in re.finditer(regex, key):
            separator = next(text for text in date.groups() if not text or not text.isdigit())
            separator = separator.replace("%", "%%")
            pattern = f"{first}{separator}{month}{separator}{last}"
            if first != "%y":
                yield pattern
            rest = key[date.end() :]
            if clock := _BETWEEN.match(rest):
                between, *parts = clock.groups()
                yield pattern + between.replace("%", "%%") + _clock(*parts)
            if clock := _BETWEEN_NAME.match(rest):
                before, after, *parts = clock.groups()
                yield f"{pattern}{before}%(camera){after}{_clock(*parts)}"


def _clock(_: str, first: str, __: str, second: str | None, seconds: str | None) -> str:
    return f"%H{first}%M" + ("" if seconds is None else f"{second}%S")


def _has_clock(pattern: str) -> bool:
    return "%H" in pattern or pattern == "%s"


def _is_sure(pattern: str) -> bool:
    """Four digits after a date may be a time or a number that counts."""
    return not pattern.endswith("%H%M")
