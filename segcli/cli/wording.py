"""Translates error messages of the library for the command line."""

from __future__ import annotations

import ast
import re
import shlex
from dataclasses import fields

_OPTIONS = {
    "class_scores": "--min-score",
    "frozen": "--freeze",
    "strong_score": "--min-score",
}  # of another name than the argument
_FIELD = re.compile(r"`([a-z_]+)(?:=([^`]*))?`")

_OF_OTHER_COMMANDS = {
    *("accept_licence", "copy_images", "from_scratch", "frozen", "images", "iou", "key"),
    *("link_images", "merge_categories", "restart", "to", "where_image"),
    *("max_gap", "min_frames", "strong_score", "time_column", "time_pattern", "weak_score"),
}


def worded(message: str) -> str:
    """Replace arguments of the library, such as `min_score` or `engine='ray'`, by options.

    >>> worded("wait for it with `wait=True`, or choose another `out`")
    'wait for it with --wait, or choose another --out'
    """
    from segcli.pipeline import PredictOptions

    names = {field.name for field in fields(PredictOptions)} | _OF_OTHER_COMMANDS

    def option(found: re.Match[str]) -> str:
        name, value = found[1], found[2]
        if name not in names:
            return found[0]
        words = _OPTIONS.get(name, "--" + name.replace("_", "-"))
        return words if value in (None, "True") else f"{words} {_word(value)}"

    return _FIELD.sub(option, message)


def _word(value: str) -> str:
    """A Python value as a word of a shell."""
    try:
        return shlex.quote(str(ast.literal_eval(value)))
    except (ValueError, SyntaxError):
        return value
