"""The devices, processes and cores of a run's workers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segcli.errors import UsageError
from segcli.machine import cores
from segcli.pipeline.resources import CpuShare, default_threads

ALL = "all"
_DEVICE = re.compile(r"auto|cpu|cuda|cuda:\d+")
_NODES = Path("/sys/devices/system/node")


@dataclass(frozen=True, slots=True)
class Placement:
    """The device of a worker and its share of the machine."""

    device: str
    share: CpuShare


def parse_devices(text: str) -> tuple[str, ...]:
    """The names in `device`: ("all",), ("auto",), or one or several devices.

    Raises UsageError for an invalid name; the workers check whether the device exists.
    """
    names = tuple(name.strip() for name in text.split(","))
    if names == (ALL,):
        return names
    for name in names:
        if not _DEVICE.fullmatch(name) or (name == "auto" and len(names) > 1):
            raise UsageError(
                f"`device` {text}: expected auto, all, or a comma-separated list of cpu, cuda, "
                f"cuda:N"
            )
    if len({"cuda:0" if name == "cuda" else name for name in names}) < len(names):
        raise UsageError(
            f"`device` {text} names a device twice; use `replicas=N` for N workers on it"
        )
    return names


def kinds(devices: Sequence[str]) -> set[str]:
    """{"cpu"}, {"cuda"} or both, as far as the names tell."""
    return {name.partition(":")[0] for name in devices}


def plan(devices: Sequence[str], replicas: int, *, decode_threads: int | None) -> list[Placement]:
    """One placement for each device and replica; the cores are divided among all of them.

    Replicas on processors are spread over the machine's memory nodes (sockets) and stay there.
    """
    workers = len(devices) * replicas
    threads = decode_threads or default_threads(workers)
    if workers == 1:
        return [Placement(devices[0], CpuShare(threads))]
    compute = max(1, len(cores()) // workers)
    nodes = memory_nodes()
    places = []
    for replica in range(replicas):
        for device in devices:
            own = nodes[replica % len(nodes)] if device == "cpu" and len(nodes) > 1 else None
            places.append(Placement(device, CpuShare(threads, compute, own)))
    return places


def memory_nodes(home: Path = _NODES) -> list[tuple[int, ...]]:
    """The cores of each memory node that this process may use; empty where the system is silent."""
    usable = set(cores())
    found = []
    for path in sorted(home.glob("node[0-9]*/cpulist")):
        own = tuple(sorted(_listed(path.read_text()) & usable))
        if own:
            found.append(own)
    return found


def _listed(text: str) -> set[int]:
    """The kernel's way to write {0, 1, 2, 5}: 0-2,5."""
    numbers: set[int] = set()
    for span in text.strip().split(","):
        if span:
            first, _, last = span.partition("-")
            numbers.update(range(int(first), int(last or first) + 1))
    return numbers
