"""How speed grows with worker processes: fake ones that only sleep, and two real ones for one.

The fake takes 50 ms an image, loads no torch and commits real parts, through the real coordinator.
Efficiency = images x 50 ms / (workers x wall time), counted from when all are ready until the last
part is committed, four chunks for each. Goals: 0.95 up to 16 workers, 0.90 at 64.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from segcli.pipeline import PredictOptions, predict
from segcli.pipeline.events import Committed, Event, Report, Started
from segcli.pipeline.job import Chunk, ChunkPredictor, Job, Load
from segcli.pipeline.resources import Resources
from segcli.pipeline.signals import Stop
from segcli.pipeline.stages.predictor import load_predictor
from segcli.types import Record, Segment

TOY = Path(__file__).resolve().parents[2] / "tests" / "toy"
WORKERS = (1, 2, 4, 8, 16, 64)
IMAGE_S = 0.05
CHUNK = 64
CHUNKS = 4  # for each worker
GATE = "SEGCLI_BENCH_GATE"
REAL_IMAGES = 48


class Sleeper:
    """A worker that sleeps instead of computing, and writes one mask for each image."""

    device = "cpu"
    precision = "float32"

    def equip(self, resources: Resources) -> None:
        pass

    def batches(self, chunk: Chunk, *, stop: Stop) -> Iterator[list[Record]]:
        for sample in chunk.samples:
            time.sleep(IMAGE_S)
            segment = Segment(0, 0.5, (0.0, 0.0, 4.0, 4.0), 16, b"0@")
            yield [Record(sample, 4, 4, segments=(segment,))]


def load_sleeper(job: Job, report: Report) -> Sleeper:
    """Ready when all the others are."""
    _pass_gate()
    return Sleeper()


def load_gated(job: Job, report: Report) -> ChunkPredictor:
    """The real one, ready when all the others are."""
    predictor = load_predictor(job, report)
    _pass_gate()
    return predictor


def _pass_gate() -> None:
    """The gate is a folder that each worker enters; it opens when as many as it says are in."""
    folder, _, count = os.environ[GATE].rpartition(":")
    (Path(folder) / str(os.getpid())).touch()
    while len(os.listdir(folder)) < int(count):
        time.sleep(0.05)


def main() -> dict[str, float]:
    """Efficiencies, coordinator's processor seconds per 1,000 images, and the real speeds."""
    sys.path.append(str(TOY))  # the workers are told the path
    figures: dict[str, float] = {}
    for workers in WORKERS:
        images = workers * CHUNK * CHUNKS
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "images"
            folder.mkdir()
            for number in range(images + 1):
                (folder / f"{number:06}.png").touch()
            options = _options(Path(name), model="toy", precision="float32")
            speed = measure(options, workers, load_sleeper)
        figures[f"{workers} workers, efficiency"] = speed.images_per_s * IMAGE_S / workers
        figures[f"{workers} workers, coordinator CPU s per 1,000"] = speed.cpu_s_per_1000
    return {**figures, **real()}


def real() -> dict[str, float]:
    """The default model with one thread: one worker, then two."""
    from scripts.data.samples import main as copy_samples

    figures: dict[str, float] = {}
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        with tempfile.TemporaryDirectory() as name:
            copy_samples(Path(name) / "originals")
            _copies(sorted((Path(name) / "originals").iterdir()), Path(name) / "images")
            for workers in (1, 2):
                options = replace(_options(Path(name)), workers=1, chunk_size=4)
                options = replace(options, out=Path(name) / f"{workers}.parquet")
                speed = measure(options, workers, load_gated)
                figures[f"{workers} real, images/s"] = speed.images_per_s
    finally:
        del os.environ["OMP_NUM_THREADS"]
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before
    figures["2 real / twice 1"] = figures["2 real, images/s"] / (2 * figures["1 real, images/s"])
    return figures


def _options(home: Path, **given: str) -> PredictOptions:
    source, out = str(home / "images"), home / "m.parquet"
    return PredictOptions(source=source, out=out, device="cpu", chunk_size=CHUNK, **given)


def _copies(originals: Sequence[Path], folder: Path) -> None:
    folder.mkdir()
    for number in range(REAL_IMAGES + 1):
        original = originals[number % len(originals)]
        (folder / f"{number:03}{original.suffix}").write_bytes(original.read_bytes())


@dataclass(frozen=True, slots=True)
class Speed:
    images_per_s: float
    cpu_s_per_1000: float


def measure(options: PredictOptions, workers: int, load: Load) -> Speed:
    """From when `workers` are ready to the last commit."""
    # Once the output is there, all workers start at the same time.
    with _gate(1):
        one = replace(options, replicas=1, limit=1)
        predict(one, report=lambda event: None, load=load)
    begun: list[tuple[float, float]] = []
    ended: list[tuple[float, float]] = []

    def report(event: Event) -> None:
        now = (time.perf_counter(), time.process_time())
        if isinstance(event, Started):
            begun.append(now)
        elif isinstance(event, Committed):
            ended.append(now)

    with _gate(workers):
        all_of_them = replace(options, replicas=workers, count_ahead=False)
        summary = predict(all_of_them, report=report, load=load)
    wall, cpu = (end - start for end, start in zip(ended[-1], begun[0], strict=True))
    return Speed(summary.images / wall, cpu / summary.images * 1000)


@contextmanager
def _gate(count: int) -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder:
        os.environ[GATE] = f"{folder}:{count}"
        yield
        del os.environ[GATE]
