"""What goes to a worker, and the events that come back from it."""

from __future__ import annotations

from dataclasses import dataclass

from segcli.pipeline.job import Job, Outcome
from segcli.pipeline.progress import Counts
from segcli.pipeline.resources import CpuShare
from segcli.store import PartWriter

# To a worker process; the `Chunk`s of its job are sent as they are.


@dataclass(frozen=True, slots=True)
class Load:
    """Load the model and answer to the number `worker`."""

    worker: int
    job: Job
    share: CpuShare


@dataclass(frozen=True, slots=True)
class Equip:
    """The output is open, chunks may come; the descriptors of its locks come along."""

    writer: PartWriter
    share: CpuShare
    workers: int
    max_memory: int | None


@dataclass(frozen=True, slots=True)
class Halt:
    """Commit what is finished of the chunk in hand."""

    signum: int


# From a worker


@dataclass(frozen=True, slots=True)
class Ready:
    """The model is loaded; `devices` is what "all" means there."""

    worker: int
    device: str
    precision: str
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Progressed:
    """More images of the chunk in hand are finished: so many since the last time."""

    worker: int
    counts: Counts


@dataclass(frozen=True, slots=True)
class Finished:
    """The chunk in hand is committed."""

    worker: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Noted:
    worker: int
    message: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The worker cannot go on: a SegcliError, or our own mistake."""

    worker: int
    error: Exception


@dataclass(frozen=True, slots=True)
class Dying:
    """The worker takes no more chunks; Lost follows."""

    worker: int


@dataclass(frozen=True, slots=True)
class Lost:
    """The worker is gone, and nothing that it did later can reach the output."""

    worker: int
    reason: str


WorkerEvent = Ready | Progressed | Finished | Noted | Failed | Dying | Lost
