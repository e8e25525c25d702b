"""Messages to a worker, and events from it."""

from __future__ import annotations

from dataclasses import dataclass

from segcli.pipeline.job import Job, Outcome
from segcli.pipeline.progress import Counts
from segcli.pipeline.resources import CpuShare
from segcli.store import PartWriter

# To a worker process; the `Chunk`s of its job are sent as they are.


@dataclass(frozen=True, slots=True)
class Load:
    """Load the model; the worker's number is `worker`."""

    worker: int
    job: Job
    share: CpuShare


@dataclass(frozen=True, slots=True)
class Equip:
    """The output is open and chunks follow; sent with the descriptors of its locks."""

    writer: PartWriter
    share: CpuShare
    workers: int
    max_memory: int | None


@dataclass(frozen=True, slots=True)
class Halt:
    """Commit the finished part of the current chunk."""

    signum: int


# From a worker


@dataclass(frozen=True, slots=True)
class Ready:
    """The model is loaded; `devices` is what "all" means there."""

    worker: int
    device: str
    precision: str
    runtime: str
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Progressed:
    """More images of the current chunk are finished; counts since the last message."""

    worker: int
    counts: Counts


@dataclass(frozen=True, slots=True)
class Finished:
    """The current chunk is committed."""

    worker: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Noted:
    worker: int
    message: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The worker cannot continue, because of a SegcliError or an internal error."""

    worker: int
    error: Exception


@dataclass(frozen=True, slots=True)
class Dying:
    """The worker takes no more chunks; Lost follows."""

    worker: int


@dataclass(frozen=True, slots=True)
class Lost:
    """The worker has ended and can no longer change the output."""

    worker: int
    reason: str


WorkerEvent = Ready | Progressed | Finished | Noted | Failed | Dying | Lost
