"""End to end: `predict` against an eager loop over torchvision's model, in batches of 1 to 64.

torchvision's Mask R-CNN R50-FPN at 800 x 1333 px, with random weights that find a hundred objects
in each image, and the shipped model, both on photographs of 1080p. The loop decodes with PIL,
copies to the device and runs the model on one image at a time; with and without encoding the masks.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image

from scripts.benchmarks.loop import plain_loop, random_resnet
from scripts.gpu_check.place import Figures, Place, measured
from segcli.models import checkpoint

_BATCHES = {"bfloat16": (1, 4, 16, 64), "float32": (1, 16)}


def check(place: Place) -> Figures:
    theirs, family, info = random_resnet()
    weights = place.room / "r50.safetensors"
    checkpoint.save(weights, family.convert(theirs.state_dict(), info), info)
    yield from loops(place, theirs.to(place.device))
    del theirs
    model = {"model": "maskrcnn/r50-fpn", "weights": str(weights)}
    yield from ours(place, "r50-fpn", place.count(128), **model)
    yield from ours(place, "shipped", place.count(256))


def loops(place: Place, model: Callable[..., list[dict[str, torch.Tensor]]]) -> Figures:
    """Images/s of the loop over r50-fpn."""
    images = sorted(place.photographs(place.count(32)).iterdir())

    def network(pixels: np.ndarray) -> tuple[torch.Tensor, ...]:
        tensor = torch.from_numpy(pixels).to(place.device).permute(2, 0, 1).float() / 255
        found = model([tensor])[0]
        return found["boxes"], found["scores"], found["labels"], found["masks"]

    def encoded(pixels: np.ndarray) -> tuple[torch.Tensor, ...]:
        return tuple(values.cpu() for values in network(pixels))

    with torch.inference_mode():
        network(np.array(Image.open(images[0])))
        network(np.array(Image.open(images[1])))
        place.synchronize()
        start = time.perf_counter()
        for path in images:
            network(np.array(Image.open(path).convert("RGB")))
        place.synchronize()
    yield "r50-fpn loop: images/s", len(images) / (time.perf_counter() - start)
    start, few = time.perf_counter(), images[: place.count(8)]
    masks = plain_loop(few, encoded, place.room / "loop.json")
    yield "r50-fpn loop, masks encoded: images/s", len(few) / (time.perf_counter() - start)
    yield "r50-fpn loop: masks per image", masks / len(few)


def ours(place: Place, name: str, count: int, **model: str) -> Figures:
    """Images/s of `predict` in every batch size and precision, and the share of time in which the
    GPU was busy, as its driver samples it."""
    for precision, sizes in _BATCHES.items():
        chosen = {"precision": precision, **model}
        few = place.photographs(place.count(32))
        measured(place.options(few, f"{name}-{precision}", batch_size=16, **chosen))  # warm
        for size in (2,) if place.small else sizes:
            many = place.photographs(place.count(max(count, 4 * size)))
            out = f"{name}-{precision}-{size}"
            run = measured(place.options(many, out, batch_size=size, **chosen))
            yield f"{name} {precision}, batch {size}: images/s", run.images_per_s
            yield f"{name} {precision}, batch {size}: GPU busy", run.busy
    yield f"{name}: masks per image", run.summary.masks / run.summary.images
