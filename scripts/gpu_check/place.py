"""What every check receives, and what several of them do with it."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from scripts.data.photographs import photographs
from segcli.images import decode
from segcli.images.batch import canvas_size, fit
from segcli.pipeline import PredictOptions, predict
from segcli.pipeline.events import Event, Progress, Started, Summary
from segcli.pipeline.stages.prefetch import Loaded
from segcli.sources import open_source, read
from segcli.store import read_masks
from segcli.types import ModelInfo, Size

Figures = Iterator[tuple[str, Any]]
"""What a check yields: the name of a figure and its value, as soon as it is known."""


@dataclass(frozen=True, slots=True)
class Place:
    """`device` is "cuda" or "cpu"; `room` an empty folder; `data` has coco80_val, if it is there.

    `small`: as little work as possible, to try the checks themselves.
    """

    device: str
    room: Path
    data: Path | None
    small: bool

    @property
    def on_gpu(self) -> bool:
        return self.device != "cpu"

    def count(self, images: int) -> int:
        return 2 if self.small else images

    def photographs(self, count: int, size: Size = (1080, 1920)) -> Path:
        """A folder of `count` JPEGs of `size` (height, width), every 18th the same; all checks
        share them."""
        folder = self.room.parent / f"images-{size[0]}"
        if not folder.exists():
            height, width = (270, 480) if self.small else size
            photographs(folder / "originals", (width, height), self.count(18))
        originals = sorted((folder / "originals").iterdir())
        chosen = folder / str(count)
        chosen.mkdir(exist_ok=True)
        for index in range(count):
            if not (path := chosen / f"{index:04}.jpg").exists():
                os.link(originals[index % len(originals)], path)
        return chosen

    def options(self, source: Path, name: str, **options: Any) -> PredictOptions:
        """Options of a run in this process, into a new output called `name`."""
        given = {"device": self.device, "replicas": 0, "chunk_size": 100_000, **options}
        out = self.room / f"{name}.parquet"
        return PredictOptions(source=str(source), out=out, count_ahead=False, **given)

    def loaded(self, folder: Path, info: ModelInfo, count: int) -> tuple[Size, list[Loaded]]:
        """The first `count` images, decoded and resized for the model, and their canvas."""
        found = []
        for index, sample in enumerate(list(open_source(str(folder)))[:count]):
            found.append(Loaded(index, sample, fit(decode(read(sample), key=sample.key), info)))
        assert found[0].image is not None
        return canvas_size(found[0].image.pixels.shape[:2], info.stride), found

    def synchronize(self) -> None:
        if self.on_gpu:
            torch.cuda.synchronize()


@dataclass(slots=True)
class Run:
    """The result of `measured`: seconds from the first image to the commit, without loading."""

    seconds: float
    summary: Summary
    late_images_per_s: float | None = None  # in the last quarter
    notes: list[Event] = field(default_factory=list)
    busy: float | None = None

    @property
    def images_per_s(self) -> float:
        return self.summary.images / self.seconds


def measured(options: PredictOptions) -> Run:
    """Run `predict` in this process."""
    events: list[Event] = []
    begun: list[float] = []
    done: list[tuple[float, int]] = []

    def hear(event: Event) -> None:
        events.append(event)
        if isinstance(event, Progress):
            done.append((time.perf_counter(), event.images))
        if isinstance(event, Started):
            begun.append(time.perf_counter())

    with gpu_busy() as busy:
        summary = predict(options, report=hear)
        seconds = time.perf_counter() - (begun[0] if begun else 0.0)
    share = [value for at, value in busy if begun and at >= begun[0]]
    mean = sum(share) / len(share) / 100 if share else None
    return Run(seconds, summary, _late_rate(done), events, mean)


def _late_rate(done: list[tuple[float, int]]) -> float | None:
    """Images/s in the last quarter, when all workers have started."""
    if not done:
        return None
    last, images = done[-1]
    late = [one for one in done if one[1] >= 0.75 * images]
    return (images - late[0][1]) / (last - late[0][0]) if last > late[0][0] else None


@contextmanager
def gpu_busy() -> Iterator[list[tuple[float, float]]]:
    """Samples (time, percent of the last moment in which a kernel ran), ten times a second."""
    samples: list[tuple[float, float]] = []
    ended = threading.Event()

    def sample() -> None:
        while not ended.wait(0.1):
            samples.append((time.perf_counter(), torch.cuda.utilization()))

    if not torch.cuda.is_available():
        yield samples
        return
    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        ended.set()
        thread.join()


def rows_of(out: Path) -> Counter[tuple[str, str, bytes]]:
    """Every mask of an output, as (key, category, RLE)."""
    return Counter(
        tuple(row.values())
        for batch in read_masks(out, columns=["key", "category", "rle"])
        for row in batch.to_pylist()
    )


def equal_share(one: Counter[Any], other: Counter[Any]) -> float:
    """How many of the masks of both outputs are in both, from 0 to 1."""
    union = (one | other).total()
    return (one & other).total() / union if union else 1.0


@contextmanager
def tf32(*, convolutions: bool, matrices: bool) -> Iterator[None]:
    """Whether float32 is rounded to TF32 on its way into the tensor cores."""
    cudnn, cublas = torch.backends.cudnn, torch.backends.cuda.matmul
    earlier = cudnn.allow_tf32, cublas.allow_tf32
    cudnn.allow_tf32, cublas.allow_tf32 = convolutions, matrices
    try:
        yield
    finally:
        cudnn.allow_tf32, cublas.allow_tf32 = earlier


def resized(info: ModelInfo, side: int) -> ModelInfo:
    """The same model for small pictures."""
    return replace(info, resize=replace(info.resize, short=side, long=side))
