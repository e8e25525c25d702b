"""A worker without a model, nor torch: rows made of the key, and faults made of the file's name.

`crash` in the name: a segmentation fault. `hang`: no answer. `once`: SIGKILL unless the file of
that name with `.killed` exists. `odd`: an exception that nobody expects.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import toy_gate

from segcli.pipeline.events import Report
from segcli.pipeline.job import Chunk, Job
from segcli.pipeline.resources import Resources
from segcli.pipeline.signals import Stop
from segcli.types import Record, Sample, Segment

IMAGE_S = 0.01


class Fake:
    """Sleeps for each image instead of computing."""

    device = "cpu"

    def __init__(self, image_s: float) -> None:
        self.image_s = image_s
        self.precision = "float32"
        self.runtime = "torch"

    def equip(self, resources: Resources) -> None:
        pass

    def batches(self, chunk: Chunk, *, stop: Stop) -> Iterator[list[Record]]:
        for sample in chunk.samples:
            toy_gate.wait([sample.key], lambda: stop.requested)
            if stop.requested:
                return
            time.sleep(self.image_s)
            fault(sample)
            note(sample)
            yield [row(sample)]


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


def load_fake(job: Job, report: Report) -> Fake:
    return Fake(IMAGE_S)


def load_at_gate(job: Job, report: Report) -> Fake:
    """Loading takes until the gate is open."""
    toy_gate.wait(["load"])
    return Fake(IMAGE_S)


def load_float32(job: Job, report: Report) -> Fake:
    """With --precision auto it chooses float32, unlike `load_bfloat16`."""
    fake = Fake(IMAGE_S)
    fake.precision = "float32" if job.precision == "auto" else job.precision
    return fake


def load_bfloat16(job: Job, report: Report) -> Fake:
    fake = Fake(IMAGE_S)
    fake.precision = "bfloat16" if job.precision == "auto" else job.precision
    return fake


def load_dying(job: Job, report: Report) -> Fake:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("dead")
