"""What a coordinator and its workers say to one another."""

from __future__ import annotations

from dataclasses import dataclass

from segcli.pipeline.job import Job, Outcome
from segcli.pipeline.progress import Counts
from segcli.pipeline.resources import CpuShare
from segcli.store import PartWriter

# From the coordinator; a Chunk of `job` is sent as it is.


@dataclass(frozen=True, slots=True)
class Begin:
    """Load the model: `opener` is "module:function", see job.Opener."""

    opener: str
    job: Job
    share: CpuShare


@dataclass(frozen=True, slots=True)
class Equip:
    """The output is locked, chunks may come; the descriptors of its locks come along."""

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
class Begun:
    """The model is loaded; `devices` is what "all" means here."""

    device: str
    precision: str
    devices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Headway:
    """More images of the chunk in hand are finished."""

    counts: Counts


@dataclass(frozen=True, slots=True)
class Did:
    """The chunk in hand is committed."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Noted:
    message: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The last words of a worker that cannot go on: a SegcliError, or our own mistake."""

    error: Exception
