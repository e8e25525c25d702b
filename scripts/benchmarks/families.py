"""Model, post-processing and images/s of the families on the same image, each at its own size.

Weights are random, but for what ships, so post-processing is measured on planted objects: after
each network has run, its numbers are replaced so that they tell of 20 round objects of a tenth to
two thirds of the image (scripts/data/planted.py), which the family's own code then chooses,
suppresses, draws and encodes. So the times hold for 20 objects in an image, whatever the
photograph shows. Decoding and resizing are left out. Where no objects can be planted, the figures
are those of the model alone: its static part, or a prediction that keeps no object.
Processor seconds, medians: on several threads they add up, and a busy machine changes them little.
A quick choice of variants; `scripts/bench families --all` takes every one, a quarter of an hour.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import PIL.Image
import torch

from scripts.data.planted import Objects, can_plant, objects_of, planted
from segcli.errors import UsageError
from segcli.images.batch import collate, fit
from segcli.masks.sampling import segments
from segcli.models import registry
from segcli.models.device import autocast, resolve_precision
from segcli.types import Batch, Image, Instances, ModelInfo

IMAGE = (480, 640)  # original px, as most of COCO's
OBJECTS = 20
REPEATS = 3
QUICK = (
    "maskrcnn/lite2",
    "maskrcnn/mobilenet",
    "cascade/lite2",
    "maskscoring/lite2",
    "pointrend/lite2",
    "maskrcnn/r50-fpn",
    "maskrcnn/keypoint-r50-fpn",
    "cascade/r50-fpn",
    "cascade/htc-r50-fpn",
    "maskscoring/r50-fpn",
    "panet/r50-fpn",
    "pointrend/r50-fpn",
    "embedmask/mobilenet",
    "embedmask/r50-fpn",
    "condinst/r50-fpn",
    "yolact/r50",
    "yolact/plus-r50",
    "solo/solov2-light-r18",
    "solo/solov2-r50",
    "rfdetr/seg-nano",
    "eomt/large-640",
    "pep/r50-fpn",
    "discriminative/mobilenet",
    "watershed/mobilenet",
)
# Frames/s of the authors' README, on a Titan Xp, of the model alone.
YOLACT_PUBLISHED = {
    "r50": 42.5,
    "darknet53": 40.0,
    "r101": 33.5,
    "plus-r50": 33.5,
    "plus-r101": 27.3,
}


def main(*, everything: bool = False) -> dict[str, Any]:
    """Four figures a variant: model ms, post-processing ms, of which RLE ms, images/s."""
    every = [f"{f.name}/{v}" for f in registry.families().values() for v in f.variants]
    precision = resolve_precision("auto", torch.device("cpu"))
    figures: dict[str, Any] = {"precision": precision, "image px": f"{IMAGE[1]} x {IMAGE[0]}"}
    for name in every if everything else QUICK:
        try:
            measured = measure(name, precision)
        except UsageError as missing:  # a package of an extra
            print(f"  {name}: left out, because {missing}")
            continue
        figures |= {f"{name} {what}": value for what, value in measured.items()}
        print("  " + name, {k: round(v, 3) for k, v in measured.items()}, flush=True)
    return figures


@torch.inference_mode()
def measure(name: str, precision: str) -> dict[str, float]:
    model = model_of(name)
    info: ModelInfo = model.info
    batch = photograph(info)
    content, size = batch.content_sizes[0], batch.image_sizes[0]
    objects = objects_of(content, OBJECTS, len(info.categories))
    cpu = torch.device("cpu")
    if not can_plant(info.family):
        with autocast(cpu, precision):
            model_s = seconds(alone(model, batch))
        return {"model ms": model_s * 1e3, "images/s, model alone": 1 / model_s}

    def predict() -> Instances:
        (found,) = model.predict(batch, min_score=0.05, max_masks=100)
        return found

    with autocast(cpu, precision):
        model_s = seconds(network_of(model, batch, objects))
        with planted(model, batch, objects):
            found = predict()
            family_s = seconds(predict)
    core_s = seconds(lambda: segments(found, content_size=content, image_size=size))
    masks = len(segments(found, content_size=content, image_size=size))
    post_s = family_s + core_s
    figures = {
        "model ms": model_s * 1e3,
        "post ms": post_s * 1e3,
        "of it RLE ms": core_s * 1e3,
        "images/s": 1 / (model_s + post_s),
        "masks": float(masks),
    }
    if info.family == "yolact":
        figures["post / model"] = post_s / model_s
        published = YOLACT_PUBLISHED[info.variant]
        figures["published, model only, 1/s"] = published
        figures["published with that share, 1/s"] = published / (1 + post_s / model_s)
    return figures


def alone(model: Any, batch: Batch) -> Callable[[], object]:
    """The network without objects."""
    if hasattr(model, "static"):
        return lambda: model.static(model.normalize(batch))
    return lambda: model.predict(batch, min_score=1.0, max_masks=100)


def model_of(name: str) -> Any:
    """The shipped weights where there are some, else random ones."""
    family, info = registry.find(name)
    if info.variant in registry.shipped(family.name):
        model: Any = registry.load_model(name, None).model
    else:
        model = family.build(info)
    return model.eval().to(memory_format=torch.channels_last)


def photograph(info: ModelInfo) -> Batch:
    """A sample photograph on the variant's canvas."""
    from skimage import data

    rows = np.asarray(PIL.Image.fromarray(data.astronaut()).resize(IMAGE[::-1]))
    return collate([fit(Image("astronaut", rows.copy(), IMAGE), info)], info)


def network_of(model: Any, batch: Batch, objects: Objects) -> Callable[[], object]:
    """Everything with weights. A second stage needs regions: the model's own proposals for the
    boxes, the planted objects for the masks."""
    if not hasattr(model, "roi_heads"):
        return lambda: model(batch)
    _, scored = model.first_stage(batch)
    regions = model.rpn.propose(scored, batch.content_sizes)
    heads = model.roi_heads

    def network() -> None:
        maps = model.first_stage(batch)[0]
        if hasattr(heads, "stage"):
            for number in range(len(heads.weights)):
                heads.stage(number, maps, regions)
        else:
            heads.classify(maps, regions)
        if hasattr(heads, "heat_maps"):
            heads.heat_maps(maps, [objects.boxes])
        else:
            heads.masks(maps, [objects.boxes], objects.labels, torch.ones(len(objects.labels)))

    return network


def seconds(run: Callable[[], object]) -> float:
    run()  # the first call pays for memory
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return median(times)


if __name__ == "__main__":
    main(everything="--all" in sys.argv)
