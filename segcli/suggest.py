"""The name that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable

_CUTOFF = 0.6
"""How alike two names must be, from 0 to 1: difflib's ratio."""


def nearest(given: str, known: Iterable[str]) -> str | None:
    """The known name most like `given`, if one is like it; case does not count."""
    from difflib import get_close_matches  # 4 ms that a command without a typing error saves

    plain = {name.casefold(): name for name in known}
    near = get_close_matches(given.casefold(), plain, n=1, cutoff=_CUTOFF)
    return plain[near[0]] if near else None


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """The end of a message: "; did you mean 'person'?", or "" when no name is near."""
    near = nearest(given, known)
    return f"; did you mean {near!r}?" if near is not None else ""
