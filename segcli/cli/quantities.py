"""Times, sizes and counts as people write them."""

from __future__ import annotations

from segcli.errors import UsageError


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
