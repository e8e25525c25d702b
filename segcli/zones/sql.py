"""The cameras of zones in SQL."""

from __future__ import annotations

from segcli.store.query import literal
from segcli.zones.zone import is_glob


def covers_sql(pattern: str, camera: str, *, key: str = "key") -> str:
    """A condition that is true where `matches` is: `camera` and `key` are SQL for those of a
    row."""
    if pattern == "*":
        return "true"
    if is_glob(pattern):
        return f"coalesce({camera} GLOB {literal(pattern)} OR {key} GLOB {literal(pattern)}, false)"
    folder = literal(pattern.rstrip("/") + "/")
    return f"coalesce({camera} = {literal(pattern)} OR starts_with({key} || '/', {folder}), false)"
