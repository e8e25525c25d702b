"""Times, sizes and counts as people write them."""

from __future__ import annotations

from segcli.errors import UsageError

_MOST = 10  # times the size of an image


def seconds(text: str | None) -> float | None:
    return None if text is None else age(text)


def age(text: str) -> float:
    from segcli.sources.selection import parse_age

    return parse_age(text)


def size(text: str | None) -> int | None:
    if text is None:
        return None
    from segcli.pipeline.resources import parse_size

    return parse_size(text)


def batch_size(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"--batch-size {text}: expected a whole number of at least 1, or auto")
    return int(text)


def pixel_range(text: str, option: str) -> tuple[int, int]:
    """ "288-416" -> (288, 416); "320" -> (320, 320)."""
    low, _, high = text.partition("-")
    if not low.isdecimal() or (high and not high.isdecimal()):
        raise UsageError(f"{option} {text}: expected px as N or LOW-HIGH, such as 288-416")
    numbers = int(low), int(high or low)
    if not 0 < numbers[0] <= numbers[1]:
        raise UsageError(f"{option} {text}: expected 0 < LOW <= HIGH")
    return numbers


def factor_range(text: str, option: str) -> tuple[float, float]:
    """ "0.1-2" -> (0.1, 2.0)."""
    try:
        low, high = (float(number) for number in text.split("-"))
    except ValueError:
        low = high = 0.0
    if not 0 < low <= high <= _MOST:
        raise UsageError(
            f"{option} {text}: expected LOW-HIGH, factors of at most {_MOST}, such as 0.1-2"
        )
    return low, high
