"""A worker without a model, nor torch: rows made of the key, and faults made of the file's name.

`crash` in the name: a segmentation fault. `hang`: no answer. `once`: SIGKILL unless the file of
that name with `.killed` exists. `odd`: an exception that nobody expects.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import toy_gate

from segcli.pipeline.events import Report
from segcli.pipeline.job import Chunk, Job, Outcome, commit
from segcli.pipeline.progress import Counts
from segcli.pipeline.resources import Resources
from segcli.pipeline.signals import Stop
from segcli.store import PartWriter
from segcli.types import Record, Sample, Segment

IMAGE_S = 0.01


class Fake:
    """Sleeps for each image instead of computing."""

    device = "cpu"

    def __init__(self, image_s: float) -> None:
        self.image_s = image_s
        self.precision = "float32"

    def equip(self, means: Resources) -> None:
        pass

    def do(
        self, chunk: Chunk, writer: PartWriter, *, stop: Stop, done: Callable[[Counts], None]
    ) -> Outcome:
        records = []
        for sample in chunk.samples:
            toy_gate.wait([sample.key], lambda: stop.requested)
            if stop.requested:
                break
            time.sleep(self.image_s)
            fault(sample)
            note(sample)
            records.append(row(sample))
            done(Counts.of(records[-1:]))
        return commit(records, chunk, writer)


def fault(sample: Sample) -> None:
    name = sample.key
    if "crash" in name:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "hang" in name:
        time.sleep(3600)
    if "odd" in name:
        raise LookupError(f"odd: {name}")
    killed = Path(sample.path + ".killed")
    if "once" in name and not killed.exists():
        killed.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def note(sample: Sample) -> None:
    """Count the work, also that which is lost again: in the file $TOY_DONE."""
    if path := os.environ.get("TOY_DONE"):
        with open(path, "a") as file:
            file.write(f"{sample.key}\n")


def row(sample: Sample) -> Record:
    return Record(sample, 4, 4, segments=(Segment(0, 0.5, (0.0, 0.0, 4.0, 4.0), 16, b"0@"),))


def open_fake(job: Job, report: Report) -> Fake:
    return Fake(IMAGE_S)


class Late(Fake):
    """Commits when the output is there already."""

    def do(self, chunk: Chunk, writer: PartWriter, **more: Any) -> Outcome:
        while not writer.directory.exists():
            time.sleep(0.01)
        return super().do(chunk, writer, **more)


def open_late(job: Job, report: Report) -> Fake:
    """With --precision auto it measures float32, which `open_measured` does not."""
    if path := os.environ.get("TOY_DONE"):
        Path(path).touch()
    late = Late(IMAGE_S)
    late.precision = "float32" if job.precision == "auto" else job.precision
    return late


def open_measured(job: Job, report: Report) -> Fake:
    fake = Fake(IMAGE_S)
    fake.precision = "bfloat16" if job.precision == "auto" else job.precision
    return fake


def open_dying(job: Job, report: Report) -> Fake:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("dead")
