"""Two worker processes on one device: the rows of one, and images/s."""

from __future__ import annotations

from scripts.gpu_check.place import Figures, Place, equal_share, measured, rows_of


def check(place: Place) -> Figures:
    images = place.photographs(place.count(512))
    precision = "bfloat16" if place.on_gpu else "float32"
    found = {}
    for replicas in (1, 2):
        options = place.options(
            images, f"{replicas}", replicas=replicas, chunk_size=64, precision=precision
        )
        run = measured(options)
        found[replicas] = rows_of(options.out)
        yield f"{replicas} replicas: images/s", run.images_per_s
        yield f"{replicas} replicas: GPU busy", run.busy
        yield f"{replicas} replicas: failed", run.summary.failed
    yield "masks", found[1].total()
    yield "share of equal masks", equal_share(found[1], found[2])
