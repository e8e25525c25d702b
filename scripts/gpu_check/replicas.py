"""Two worker processes on one device: the rows of one, and images/s once both have started."""

from __future__ import annotations

from scripts.benchmarks.loop import random_resnet
from scripts.gpu_check.place import Figures, Place, equal_share, measured, rows_of
from segcli.models import checkpoint


def check(place: Place) -> Figures:
    theirs, family, info = random_resnet()
    weights = place.room / "r50.safetensors"
    checkpoint.save(weights, family.convert(theirs.state_dict(), info), info)
    del theirs
    model: dict[str, str] = {"model": "maskrcnn/r50-fpn", "weights": str(weights)}
    model = {} if place.small else model
    images = place.photographs(16 if place.small else 2048)
    precision = "bfloat16" if place.on_gpu else "float32"
    found = {}
    for replicas in (0, 2):  # none: in this process
        chunk = 4 if place.small else 64
        options = place.options(
            images, f"{replicas}", replicas=replicas, chunk_size=chunk, precision=precision, **model
        )
        run = measured(options)
        found[replicas] = rows_of(options.out)
        yield f"r50-fpn, {replicas} replicas: images/s in the last quarter", run.late_images_per_s
        yield f"r50-fpn, {replicas} replicas: failed", run.summary.failed
    yield "masks", found[0].total()
    yield "share of equal masks", equal_share(found[0], found[2])
