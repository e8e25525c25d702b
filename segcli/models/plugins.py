"""Find families of models through entry points."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from importlib import metadata

from segcli.plugin import Family

GROUP = "segcli.families"
DEFAULT_GROUP = "segcli.default"  # the family used without `model`


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point: its family, or `error`, the reason why there is none."""

    name: str
    package: str
    family: Family | None
    error: str | None = None


def plugins() -> list[Plugin]:
    """Every installed family and every one that could not be loaded, by name; imports no torch."""
    found = [_load(entry) for entry in _entries(GROUP, tuple(sys.path))]
    return sorted(found, key=lambda plugin: plugin.name)


def families() -> dict[str, Family]:
    """The families that could be loaded, by name."""
    return {plugin.name: plugin.family for plugin in plugins() if plugin.family}


def default_families() -> list[str]:
    """The families that the installation calls its default."""
    return [entry.name for entry in _entries(DEFAULT_GROUP, tuple(sys.path))]


@cache
def _entries(group: str, search: tuple[str, ...]) -> tuple[metadata.EntryPoint, ...]:
    """Cached for each `search` path, because a scan of all installed packages takes 10 ms."""
    return tuple(metadata.entry_points(group=group))


def _load(entry: metadata.EntryPoint) -> Plugin:
    package = entry.module.partition(".")[0]
    try:
        family = entry.load()
    # A plugin can fail in any way; the others must still work.
    except Exception as error:
        return Plugin(entry.name, package, None, f"{type(error).__name__}: {error}")
    if not isinstance(family, Family):
        reason = f"{entry.value} is a {type(family).__name__}, not a segcli.plugin.Family"
    elif family.name != entry.name:
        reason = f"{entry.value} is named {family.name!r}"
    elif not family.variants:
        reason = f"{entry.value} has no variants"
    else:
        return Plugin(entry.name, package, family)
    return Plugin(entry.name, package, None, reason)
