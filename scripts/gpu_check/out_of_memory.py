"""A GPU that is too small for the batch: batches are halved, and every image has its rows."""

from __future__ import annotations

import torch

from scripts.benchmarks.loop import random_resnet
from scripts.gpu_check.place import Figures, Place, equal_share, measured, rows_of
from segcli.models import checkpoint
from segcli.pipeline.events import Note

_BATCH = 32


def check(place: Place) -> Figures:
    if not place.on_gpu:
        yield "left out", "needs a GPU"
        return
    theirs, family, info = random_resnet()
    weights = place.room / "r50.safetensors"
    checkpoint.save(weights, family.convert(theirs.state_dict(), info), info)
    del theirs
    images = place.photographs(2 * _BATCH)
    model = {"model": "maskrcnn/r50-fpn", "weights": str(weights), "precision": "bfloat16"}
    free()
    alone = place.options(images, "alone", batch_size=4, limit=8, **model)
    measured(alone)
    needed = torch.cuda.max_memory_reserved()
    yield "batch 4: memory, MB", needed / 1e6
    free()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(1.5 * needed / total)
    try:
        small = place.options(images, "small", batch_size=_BATCH, **model)
        run = measured(small)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    free()
    yield "notes", "; ".join(e.message for e in run.notes if isinstance(e, Note))
    yield "images", run.summary.images
    yield "failed", run.summary.failed
    yield "images/s", run.images_per_s
    large = place.options(images, "large", batch_size=_BATCH, **model)
    measured(large)
    yield (
        "share of masks equal to those of whole batches",
        equal_share(rows_of(small.out), rows_of(large.out)),
    )
    assert run.summary.images == 2 * _BATCH
    assert run.summary.failed == 0
    assert any("out of memory" in e.message for e in run.notes if isinstance(e, Note))


def free() -> None:
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
