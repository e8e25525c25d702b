"""The time of each stage, compared with a plain loop over the same network, in one run.

The default model over photographs of 1920 x 1080 px and over the same ones at 640 px. Each stage
runs alone over all images; the run is `predict`, commit included. `sum / run` says how much of the
run's processor time is its stages' work; the rest is what running them together costs. The loop is
written on an afternoon: one image at a time, eager float32, torchvision's paste, pycocotools, JSON.
Seconds are processor seconds, medians of alternate rounds.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image
from pycocotools import mask as coco
from torchvision.models.detection.roi_heads import paste_masks_in_image

from scripts.benchmarks.tables import markdown
from scripts.data.photographs import photographs
from segcli.images import decode
from segcli.images.batch import collate, content_size, fit
from segcli.masks import rle
from segcli.masks.sampling import segments
from segcli.masks.sampling.segment import mask_runs
from segcli.models.device import autocast, one_thread
from segcli.models.registry import load_model
from segcli.pipeline import PredictOptions, predict
from segcli.pipeline.events import Event, Started, Summary
from segcli.pipeline.job import Job
from segcli.pipeline.settings import describe, run_settings
from segcli.pipeline.stages.inference import Inference, load_inference
from segcli.pipeline.stages.predictor import load_predictor
from segcli.sources import open_source, read
from segcli.store import Settings, open_output
from segcli.types import Image as Decoded
from segcli.types import ModelInfo, Record

PHOTOGRAPHS = 12
ROUNDS = 3
PART = 480  # images, a minute's work
SIZES = {"1080p": (1920, 1080), "640 px": (640, 360)}
STAGES = ("list", "decode", "resize", "batch", "model", "post-process", "RLE", "write")


@dataclass
class Clock:
    """Processor seconds by name, one number a round."""

    seconds: dict[str, list[float]] = field(default_factory=dict)

    @contextlib.contextmanager
    def over(self, name: str) -> Iterator[None]:
        start = time.process_time()
        yield
        self.add(name, time.process_time() - start)

    def add(self, name: str, seconds: float) -> None:
        self.seconds.setdefault(name, []).append(seconds)

    def medians(self) -> dict[str, float]:
        return {name: median(values) for name, values in self.seconds.items()}


def main() -> dict[str, Any]:
    """ms per image and shares of every stage, the loop's beside them, and images/s end to end."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        for label, size in SIZES.items():
            folder = Path(name) / label
            photographs(folder, size, PHOTOGRAPHS)
            figures |= {f"{label} {key}": value for key, value in measure(folder).items()}
    return figures


def measure(folder: Path) -> dict[str, Any]:
    options = options_for(folder, Path("-"))
    job = Job.of(options, describe(options), precision="auto", runtime="auto", load=load_predictor)
    engine = load_inference(job, _ignore)
    stages, loop, run = Clock(), Clock(), Clock()
    walls: dict[str, list[float]] = {"run": [], "loop": []}
    with (
        tempfile.TemporaryDirectory() as name,
        ProcessPoolExecutor(1, get_context("spawn")) as other,
    ):
        for turn in range(ROUNDS + 1):
            if turn == 1:  # the first round warmed up
                stages, loop, run = Clock(), Clock(), Clock()
                walls = {"run": [], "loop": []}
            room = Path(name, str(turn))
            room.mkdir()
            walls["run"].append(whole_run(options_for(folder, room / "a.parquet"), run))
            masks = alone(options_for(folder, room / "b.parquet"), engine, stages)
            # In a process of its own, because segcli has set the allocator of this one for good.
            spent = other.submit(plain_loop, folder, room / "results.json").result()
            walls["loop"].append(spent.pop("wall"))
            theirs = spent.pop("masks")
            for stage, seconds in spent.items():
                loop.add(stage, seconds)
    ours, their_s = stages.medians(), loop.medians()
    part_ms = ours.pop("part") / PART * 1e3
    total, whole = sum(ours.values()), run.medians()["run"]
    figures: dict[str, Any] = {"masks, loop's masks": f"{masks / PHOTOGRAPHS:.1f}, {theirs}"}
    for stage in STAGES:
        figures[f"{stage} ms"] = ours[stage] / PHOTOGRAPHS * 1e3
        figures[f"{stage} share"] = ours[stage] / total
        if stage in their_s:
            figures[f"{stage} loop ms"] = their_s[stage] / PHOTOGRAPHS * 1e3
    return figures | {
        "precision": engine.precision,
        f"write in a part of {PART} images ms": part_ms,
        f"write in a part of {PART} images share": part_ms / (whole / PHOTOGRAPHS * 1e3),
        "run ms": whole / PHOTOGRAPHS * 1e3,
        "loop ms": sum(their_s.values()) / PHOTOGRAPHS * 1e3,
        "sum / run": total / whole,
        "model / run": ours["model"] / whole,
        "images/s": PHOTOGRAPHS / median(walls["run"]),
        "loop images/s": PHOTOGRAPHS / median(walls["loop"]),
        "faster, wall": median(walls["loop"]) / median(walls["run"]),
        "faster, processor": sum(their_s.values()) / whole,
    }


def table(figures: dict[str, Any]) -> str:
    """One line a stage and size, and what the whole comes to."""
    lines, part = [], f"write in a part of {PART} images"
    for size in SIZES:
        of = {k.removeprefix(size + " "): v for k, v in figures.items() if k.startswith(size)}
        rows = [(s, of[f"{s} ms"], of[f"{s} share"], of.get(f"{s} loop ms")) for s in STAGES]
        rows += [
            (part, of[f"{part} ms"], of[f"{part} share"], None),
            ("**the whole run**", of["run ms"], None, of["loop ms"]),
            ("its stages alone", None, of["sum / run"], None),
            ("the network", None, of["model / run"], None),
        ]
        lines += [
            (f"{size}: {what}", ours, "" if share is None else f"{share:.2%}", theirs)
            for what, ours, share, theirs in rows
        ]
        lines.append((f"{size}: images/s, wall", of["images/s"], "", of["loop images/s"]))
    return markdown(("", "segcli, ms per image", "share", "plain loop, ms per image"), lines)


def options_for(folder: Path, out: Path) -> PredictOptions:
    return PredictOptions(
        source=str(folder), out=out, device="cpu", chunk_size=1000, count_ahead=False, replicas=0
    )


def whole_run(options: PredictOptions, clock: Clock) -> float:
    """Wall seconds of a run from its first image to the commit; loading the model is no part."""
    started: list[float] = []

    def hear(event: Event) -> None:
        if isinstance(event, Started):
            started.append(time.process_time())
        elif isinstance(event, Summary):
            clock.add("run", time.process_time() - started[0])

    return predict(options, report=hear).seconds


def timed_run(options: PredictOptions) -> tuple[float, float]:
    """Wall and processor seconds of `whole_run`; for a process of its own."""
    clock = Clock()
    return whole_run(options, clock), clock.medians()["run"]


@torch.inference_mode()
def alone(options: PredictOptions, engine: Inference, clock: Clock) -> int:
    """Each stage over all images, one stage after the other; returns the number of masks."""
    info = engine.model.info
    source = open_source(options.source)
    with clock.over("list"):
        samples = list(source)
    with clock.over("decode"), one_thread(engine.device):
        decoded = [decode(read(s), key=s.key) for s in samples]
    with clock.over("resize"), one_thread(engine.device):
        fitted = [fit(image, info) for image in decoded]
    step = engine.batch_size
    with clock.over("batch"):
        batches = [collate(fitted[i : i + step], info) for i in range(0, len(fitted), step)]
    with clock.over("model"), autocast(engine.device, engine.precision):
        answers = [engine.model.predict(b, min_score=0.05, max_masks=100) for b in batches]
    found = [
        each
        for batch, answer in zip(batches, answers, strict=True)
        for each in zip(answer, batch.content_sizes, batch.image_sizes, strict=True)
    ]
    with one_thread(engine.device):
        start = time.process_time()
        segmented = [segments(i, content_size=c, image_size=s) for i, c, s in found]
        both = time.process_time() - start
        runs = [
            mask_runs(i, i.extents.double() * torch.tensor([s[1] / c[1], s[0] / c[0]] * 2), s)
            for i, c, s in found
        ]
    with clock.over("RLE"):
        for lengths, counts, kept in runs:
            if len(kept):
                rle.compress_many(lengths, counts)
    clock.add("post-process", both - clock.seconds["RLE"][-1])
    records = [
        Record(sample, *size, segments=one)
        for sample, (_, _, size), one in zip(samples, found, segmented, strict=True)
    ]
    settings = run_settings(options, describe(options), source, "-", device="cpu")
    with clock.over("write"):
        write(options.out, info, settings, records)
    # A part of a long run holds a minute of work, not twelve images.
    many = [
        replace(record, sample=replace(record.sample, key=f"{copy}/{record.sample.key}"))
        for copy in range(PART // len(records))
        for record in records
    ]
    with clock.over("part"):
        write(options.out.with_name("part.parquet"), info, settings, many)
    return sum(map(len, segmented))


def write(out: Path, info: ModelInfo, settings: Settings, records: list[Record]) -> None:
    """One part, committed."""
    with open_output(
        out, settings, carried={}, categories=(info.categories, info.category_ids)
    ) as output:
        output.commit(records)


@torch.inference_mode()
def plain_loop(folder: Path, out: Path) -> dict[str, float]:
    """The afternoon's loop with the same network: processor seconds of each stage, `wall` seconds,
    and `masks` per image."""
    loaded = load_model(None, None)
    start = time.perf_counter()
    seconds = dict.fromkeys(STAGES, 0.0)
    last = time.process_time()

    def passed(stage: str) -> None:
        nonlocal last
        now = time.process_time()
        seconds[stage] += now - last
        last = now

    paths, results = sorted(folder.glob("*.jpg")), []
    passed("list")
    for path in paths:
        pixels = np.array(Image.open(path).convert("RGB"))
        passed("decode")
        h, w = content_size(pixels.shape[:2], loaded.info.resize)
        small = np.array(Image.fromarray(pixels).resize((w, h), Image.Resampling.BILINEAR))
        passed("resize")
        batch = collate([Decoded("", small, pixels.shape[:2])], loaded.info)
        passed("batch")
        found = loaded.model.predict(batch, min_score=0.05, max_masks=100)[0]
        passed("model")
        height, width = pixels.shape[:2]
        boxes = found.boxes * torch.tensor([width / w, height / h] * 2)
        masks = paste_masks_in_image(found.fields[:, None], boxes, (height, width))
        binary = [np.asfortranarray((m[0] >= 0.5).numpy().astype(np.uint8)) for m in masks]
        passed("post-process")
        encoded = [coco.encode(mask)["counts"].decode() for mask in binary]
        passed("RLE")
        results += [
            {"image": path.name, "category_id": int(c), "score": float(s), "bbox": b, "counts": e}
            for c, s, b, e in zip(found.labels, found.scores, boxes.tolist(), encoded, strict=True)
        ]
    out.write_text(json.dumps(results))
    passed("write")
    seconds["wall"] = time.perf_counter() - start
    return {**seconds, "masks": len(results) / len(paths)}


def _ignore(event: object) -> None:
    pass


if __name__ == "__main__":
    for key, value in main().items():
        print(f"{key:<40} {value}")
