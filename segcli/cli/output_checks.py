"""Checks that a command writes neither among the parts of an output nor over an image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from segcli.errors import UsageError


def refuse_places(targets: Mapping[str, Path | None]) -> None:
    """`targets`: option -> file or folder, None if it was not given. Raises UsageError."""
    from segcli.sources import SUFFIXES
    from segcli.store.directory import refuse_among_parts

    for option, path in targets.items():
        if path is None:
            continue
        refuse_among_parts(path, option)
        if path.suffix.lower() in SUFFIXES and path.is_file():
            raise UsageError(
                f"{option} {path} is an image and would be overwritten; choose another path"
            )
