"""How much of a run's processor time is the model, and what running the stages together costs.

On real photographs at 640 px (long side) and at 1920 x 1080, with the default model: efficiency =
the model's processor-seconds / all of the run's; overlap = wall time of the run / the sum of its
stages, each run alone over the same images (load, model, masks, commit). Medians of 5.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch
from PIL import Image

from segcli.batch import collate
from segcli.device import autocast
from segcli.postprocess import segments
from segcli.run import PredictOptions, predict
from segcli.run.ahead import Ahead, Loaded
from segcli.run.engine import Engine, load_engine
from segcli.run.facts import describe, run_facts
from segcli.run.grouping import grouped
from segcli.run.means import default_threads
from segcli.shard import open_output
from segcli.source import Source, open_source
from segcli.types import Record

COPIES = 8  # of each photograph, so that a run takes seconds
REPEATS = 5


def main() -> dict[str, float]:
    """The figures for both sizes."""
    from samples import main as copy_samples

    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        originals = Path(name) / "originals"
        copy_samples(originals)
        for label, size in (("640 px", None), ("1080p", (1920, 1080))):
            folder = Path(name) / label.replace(" ", "")
            resized(sorted(originals.iterdir()), folder, size)
            for key, value in measure(folder).items():
                figures[f"{label}, {key}"] = value
    return figures


def resized(originals: Sequence[Path], folder: Path, size: tuple[int, int] | None) -> None:
    """The photographs as JPEGs of `size`, or with a long side of 640 px, several times."""
    folder.mkdir()
    for path in originals:
        image = Image.open(path).convert("RGB")
        scale = 640 / max(image.size)
        new = size or (round(image.width * scale), round(image.height * scale))
        for copy in range(COPIES):
            image.resize(new).save(folder / f"{path.stem}-{copy}.jpg", quality=90)


def measure(folder: Path, *, model: str | None = None, repeats: int = REPEATS) -> dict[str, float]:
    """`efficiency`, `overlap`, images/s and the seconds of each stage for a folder of images."""
    source = open_source(str(folder))
    together, stages = Clock(), Clock()
    for repeat in range(repeats + 1):
        with tempfile.TemporaryDirectory() as room:
            options = PredictOptions(
                source=str(folder), out=Path(room, "m.parquet"), model=model, chunk_size=10_000
            )
            engine = load_engine(options, None, precision="auto", report=_ignore)
            with together.over("run"):
                summary = predict(options, report=_ignore)
            together.wall["run"][-1] = summary.seconds  # without loading the model
            alone(options, source, engine, Path(room, "alone.parquet"), stages)
        if repeat == 0:  # the first round warms up
            together, stages = Clock(), Clock()
    wall = {name: median(values) for name, values in stages.wall.items()}
    processor = {name: median(values) for name, values in stages.processor.items()}
    run_s = median(together.wall["run"])
    return {
        "images/s": summary.images / run_s,
        "efficiency": processor["model"] / sum(processor.values()),
        "overlap": run_s / sum(wall.values()),
        "run s": run_s,
        **{f"{name} alone s": seconds for name, seconds in wall.items()},
    }


@dataclass
class Clock:
    """Wall and processor seconds by name, of every round."""

    wall: dict[str, list[float]] = field(default_factory=dict)
    processor: dict[str, list[float]] = field(default_factory=dict)

    @contextlib.contextmanager
    def over(self, name: str) -> Iterator[None]:
        wall, processor = time.perf_counter(), time.process_time()
        yield
        self.wall.setdefault(name, []).append(time.perf_counter() - wall)
        self.processor.setdefault(name, []).append(time.process_time() - processor)


def alone(options: PredictOptions, source: Source, engine: Engine, out: Path, clock: Clock) -> None:
    """Each stage over all images, one stage after the other."""
    info, samples = engine.model.info, list(source)
    ahead = Ahead(info, threads=default_threads(), max_pixels=options.max_pixels)
    with clock.over("load"):
        loaded = list(ahead(samples))
    groups: list[list[Loaded]] = [g for _, g in grouped(loaded, info.stride, engine.size_of)]
    found: list[tuple[Any, Any]] = []
    with clock.over("model"), torch.inference_mode():
        for group in groups:
            batch = collate([item.image for item in group if item.image], info)
            with autocast(engine.device, engine.precision):
                found.append((batch, engine.model.predict(batch, min_score=0.05, max_masks=100)))
    with clock.over("masks"), torch.inference_mode():
        records = [
            Record(item.sample, *size, segments=segments(one, content_size=c, image_size=size))
            for group, (batch, instances) in zip(groups, found, strict=True)
            for item, one, c, size in zip(
                group, instances, batch.content_sizes, batch.image_sizes, strict=True
            )
        ]
    facts = run_facts(options, describe(options), source, precision="x", device="cpu")
    categories = (info.categories, info.category_ids)
    with (
        clock.over("commit"),
        open_output(out, facts, carried={}, categories=categories) as output,
    ):
        output.commit(records)


def _ignore(event: object) -> None:
    pass


if __name__ == "__main__":
    for key, value in main().items():
        print(f"{key:<32} {value:.4g}")
