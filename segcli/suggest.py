"""Suggestions for misspelled names."""

from __future__ import annotations

from collections.abc import Iterable

_CUTOFF = 0.6
"""The required similarity of two names, from 0 to 1: difflib's ratio."""


def nearest(given: str, known: Iterable[str]) -> str | None:
    """The known name that is most similar to `given`, if similar enough; ignores case."""
    from difflib import get_close_matches  # takes 4 ms, so only after a typing error

    plain = {name.casefold(): name for name in known}
    near = get_close_matches(given.casefold(), plain, n=1, cutoff=_CUTOFF)
    return plain[near[0]] if near else None


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """The end of a message: "; did you mean 'person'?", or "" if no name is similar."""
    near = nearest(given, known)
    return f"; did you mean {near!r}?" if near is not None else ""
