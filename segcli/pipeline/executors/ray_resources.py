"""The number of workers that fit on a Ray cluster, and the resources of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segcli.errors import UsageError
from segcli.pipeline.resources import MOST_THREADS

DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True, slots=True)
class RayResources:
    """`count` workers at a time, each with `cpus` and `gpus` (a half: two share one)."""

    count: int
    cpus: float
    gpus: float

    @property
    def device(self) -> str:
        return "cuda" if self.gpus else "cpu"

    @property
    def threads(self) -> int:
        return max(1, min(MOST_THREADS, int(self.cpus)))


def check_device(device: str) -> None:
    """Raises UsageError: which GPU a worker gets is Ray's business."""
    if device not in DEVICES:
        raise UsageError(
            f"`device` {device} with `engine='ray'`: expected {', '.join(DEVICES)}; Ray chooses "
            f"which GPUs, `replicas=N` puts N workers on each"
        )


def find_resources(
    nodes: Sequence[Mapping[str, Any]], device: str, *, replicas: int, cpus: int | None
) -> RayResources:
    """From what ray.nodes() returns: one worker for each GPU of the living nodes and replica.

    Without GPUs, or with `device` "cpu": one for each node and replica. All take as many `cpus`,
    by default what the poorest node can give. A cluster that is still empty gets one worker to
    wait for, so that it knows that it is wanted.
    """
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    on_gpu = device == "cuda" or (device == "auto" and any(r.get("GPU") for r in alive))
    here = [r for r in alive if r.get("GPU" if on_gpu else "CPU", 0) >= 1]
    workers = [int(r["GPU"]) * replicas if on_gpu else replicas for r in here]
    room = (int(r.get("CPU", 0)) // w for r, w in zip(here, workers, strict=True))
    each = cpus or max(1, min(room, default=1))
    if not on_gpu:
        workers = [int(r["CPU"]) // each for r in here]
    gpus = (1 / replicas if replicas > 1 else 1) if on_gpu else 0
    return RayResources(max(1, sum(workers)), each, gpus)
