"""How many times as fast one way of computing is as another on this machine, measured once.

The ratios decide what "auto" means. They are kept in the user's cache folder for 30 days, so
that a new run does not take time to measure again, and chooses what the one before has chosen.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from segcli.errors import OutputError
from segcli.files import cache_folder, write_text

_KEPT_S = 30 * 86400.0  # then it is measured again: the machine may have been busy or throttled
_MOST = 500  # ratios in the file, of all machines that share a home; the oldest go first
_CPUINFO = Path("/proc/cpuinfo")
_VARIABLES = ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY")  # they limit a processor's instructions


def kept_gain(
    facts: tuple[str, ...], libraries: tuple[str, ...], measure: Callable[[], float]
) -> float:
    """The ratio that was measured for these facts, on this machine and with these versions of the
    libraries; `measure` is called if there is none.

    Without a cache that can be written, the next run measures again.
    """
    key = _key(facts, libraries)
    if key in (kept := _read()):
        return kept[key][0]
    gain = measure()
    there = _read()  # again: meanwhile, another process may have measured, whose ratio counts then
    path = _path()
    if key not in there and path is not None:
        pairs = [*there.items(), (key, (gain, time.time()))]
        with suppress(OutputError):
            write_text(path, json.dumps(dict(pairs[-_MOST:]), indent=1))
    return there[key][0] if key in there else gain


def _key(facts: tuple[str, ...], libraries: tuple[str, ...]) -> str:
    parts = [platform.node(), _processor(), *(os.environ.get(name, "") for name in _VARIABLES)]
    parts += [f"{name} {version(name)}" for name in libraries]
    return hashlib.sha256("\n".join([*parts, *facts]).encode()).hexdigest()[:32]


def _processor() -> str:
    """The name and the features of the first core: a virtual machine may move to another."""
    try:
        lines = _CPUINFO.read_text().partition("\n\n")[0].splitlines()
    except OSError:
        return platform.processor()
    return "\n".join(
        line
        for line in lines
        if line.lower().startswith(("model name", "flags", "features", "cpu part"))
    )


def _path() -> Path | None:
    folder = cache_folder()
    return None if folder is None else folder / "gains.json"


def _read() -> dict[str, tuple[float, float]]:
    """The ratios that are not too old, each with the time when it was measured."""
    path = _path()
    try:
        found: Any = {} if path is None else json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    now, ratios = time.time(), dict[str, tuple[float, float]]()
    for key, entry in found.items() if isinstance(found, dict) else ():
        match entry:
            case [float(gain), float(at)] if abs(now - at) < _KEPT_S:
                ratios[key] = gain, at
    return ratios
