"""Measured speeds of models on this machine, stored in the user's cache folder."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from segcli.files import cache_folder, write_text


@dataclass(frozen=True, slots=True)
class Speed:
    """`seconds`: the median for one image of `image` (width x height px), without decoding it.

    `weights` False: the network had random weights, because its own were not installed.
    """

    seconds: float
    image: str
    device: str
    precision: str
    date: str
    weights: bool


def read_speeds() -> dict[str, Speed]:
    """Model -> its last speed on this machine; empty if there is no readable file."""
    found = {}
    for model, fields in _read().get(platform.node(), {}).items():
        try:
            found[model] = Speed(**fields)
        except TypeError:  # of another version
            continue
    return found


def keep_speed(model: str, speed: Speed) -> Path | None:
    """Write it into the file, which is returned; None for a user without a cache folder. Raises
    OutputError."""
    path = _path()
    if path is None:
        return None
    everything = _read()
    everything.setdefault(platform.node(), {})[model] = asdict(speed)
    write_text(path, json.dumps(everything, indent=2))
    return path


def _path() -> Path | None:
    """One file for all machines that share a home."""
    folder = cache_folder()
    return None if folder is None else folder / "speeds.json"


def _read() -> dict[str, dict[str, dict[str, Any]]]:
    path = _path()
    try:
        found = {} if path is None else json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    machines = found.items() if isinstance(found, dict) else ()
    return {
        name: {model: fields for model, fields in models.items() if isinstance(fields, dict)}
        for name, models in machines
        if isinstance(models, dict)
    }
