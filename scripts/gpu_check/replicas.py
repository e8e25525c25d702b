"""Two worker processes on one device: the rows of one, and images/s."""

from __future__ import annotations

from scripts.gpu_check.place import Figures, Place, equal_share, measured, rows_of


def check(place: Place) -> Figures:
    images = place.photographs(16 if place.small else 2048)
    precision = "bfloat16" if place.on_gpu else "float32"
    found = {}
    for replicas in (0, 2):  # none: in this process
        options = place.options(
            images,
            f"{replicas}",
            replicas=replicas,
            chunk_size=4 if place.small else 64,
            precision=precision,
        )
        run = measured(options)
        found[replicas] = rows_of(options.out)
        yield f"{replicas} replicas: images/s in the second half", run.late_images_per_s
        yield f"{replicas} replicas: GPU busy", run.busy
        yield f"{replicas} replicas: failed", run.summary.failed
    yield "masks", found[0].total()
    yield "share of equal masks", equal_share(found[0], found[2])
