"""Where the time of one batch goes: by stage, and torch.profiler's fifteen largest kernels."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from scripts.benchmarks.loop import random_resnet
from scripts.gpu_check.place import Figures, Place
from segcli.images.batch import collate
from segcli.models import checkpoint
from segcli.models.device import autocast
from segcli.pipeline.job import Job
from segcli.pipeline.settings import describe
from segcli.pipeline.stages.inference import Inference, load_inference
from segcli.pipeline.stages.predictor import load_predictor
from segcli.pipeline.stages.prefetch import Loaded

_BATCH = 16
_CALLS = ("cudaLaunchKernel", "cudaStreamSynchronize", "cudaMemcpyAsync", "aten::nonzero")


def check(place: Place) -> Figures:
    theirs, family, info = random_resnet()
    weights = place.room / "r50.safetensors"
    checkpoint.save(weights, family.convert(theirs.state_dict(), info), info)
    del theirs
    for name, model in (
        ("r50-fpn", {"model": "maskrcnn/r50-fpn", "weights": str(weights)}),
        ("shipped", {}),
    ):
        size = 2 if place.small else _BATCH
        folder = place.photographs(size)
        options = place.options(folder, name, precision="bfloat16", batch_size=size, **model)
        job = Job.of(
            options,
            describe(options),
            precision="bfloat16",
            runtime="torch",
            load=load_predictor,
        )
        inference = load_inference(job, lambda event: None)
        canvas, group = place.loaded(folder, inference.model.info, size)
        yield f"{name}: canvas, px", f"{canvas[1]} x {canvas[0]}"
        run = partial(inference.records, canvas, group)
        yield f"{name}: a batch of {size}, ms", 1e3 * seconds(place, run)
        for stage, value in stages(place, inference, group):
            yield f"{name}: {stage}, ms", value
        yield from profiled(place, name, run, size)


def seconds(place: Place, run: Callable[[], Any], times: int = 5) -> float:
    for _ in range(1 if place.small else 2):
        run()
    spent = []
    for _ in range(1 if place.small else times):
        place.synchronize()
        start = time.perf_counter()
        run()
        place.synchronize()
        spent.append(time.perf_counter() - start)
    return median(spent)


def stages(place: Place, inference: Inference, group: list[Loaded]) -> Figures:
    """Milliseconds of each stage of a two-stage model, with all work finished after each."""
    model: Any = inference.model
    images = [item.image for item in group if item.image is not None]

    def timed(name: str, run: Callable[[], Any]) -> tuple[str, float]:
        return name, 1e3 * seconds(place, run)

    yield timed("collate", lambda: collate(images, model.info, locked=place.on_gpu))
    batch = inference.batch_of(images)
    yield timed("collate and copy", lambda: inference.batch_of(images))
    with torch.inference_mode(), autocast(inference.device, inference.precision):
        yield timed("first stage", lambda: model.first_stage(batch))
        maps, scored = model.first_stage(batch)
        yield timed("proposals", lambda: model.rpn.propose(scored, batch.content_sizes))
        proposals = model.rpn.propose(scored, batch.content_sizes)
        yield timed("box pooling", lambda: model.roi_heads.box_pool(maps[:4], proposals))
        yield timed("box pooling and head", lambda: model.roi_heads.classify(maps, proposals))
    yield timed("the model in all", lambda: inference.find(batch))
    found = inference.find(batch)
    yield timed(
        "masks to run lengths", lambda: inference.segments_of(batch, [found], inference.refinement)
    )


def profiled(place: Place, name: str, run: Callable[[], Any], size: int) -> Figures:
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if place.on_gpu else [])]
    with profile(activities=activities) as recorded:
        run()
        place.synchronize()
    averages = recorded.key_averages()
    order = "self_cuda_time_total" if place.on_gpu else "self_cpu_time_total"
    counts = {event.key: event.count for event in averages}
    for call in _CALLS:
        if call in counts:
            yield f"{name}: {call} per image", counts[call] / size
    yield f"{name}: profile", averages.table(sort_by=order, row_limit=15, max_name_column_width=60)
