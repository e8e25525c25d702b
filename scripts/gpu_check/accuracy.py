"""The shipped model on coco80_val in every precision: AP, AP50, and rows equal to the CPU's."""

from __future__ import annotations

import shutil
from pathlib import Path

from scripts.gpu_check.place import Figures, Place, equal_share, measured, rows_of, tf32
from segcli.evaluate import Choices, evaluate

_PRECISIONS = {  # name: (precision, TF32 in convolutions, TF32 in products of matrices)
    "bfloat16": ("bfloat16", False, False),
    "float32": ("float32", False, False),
    "float32 as torch has it": ("float32", True, False),
    "TF32": ("float32", True, True),
    "float16": ("float16", False, False),
}


def check(place: Place) -> Figures:
    if place.data is None:
        yield "left out", "no --data with coco80_val"
        return
    truth, images = place.data / "coco80_val/annotations.json", place.data / "coco80_val/images"
    if place.small:
        images = _few(place)
    on_cpu = place.options(images, "cpu", device="cpu", precision="float32")
    run = measured(on_cpu)
    yield "CPU float32: images/s", run.images_per_s
    expected = rows_of(on_cpu.out)
    yield from _scores("CPU float32", truth, on_cpu.out, place)
    for name, (precision, convolutions, matrices) in _PRECISIONS.items():
        if precision == "float16" and not place.on_gpu:
            continue
        options = place.options(images, name.replace(" ", "-"), precision=precision)
        with tf32(convolutions=convolutions, matrices=matrices):
            run = measured(options)
        yield f"{name}: images/s", run.images_per_s
        yield f"{name}: failed images", run.summary.failed
        yield f"{name}: share of equal masks", equal_share(expected, rows_of(options.out))
        yield from _scores(name, truth, options.out, place)


def _few(place: Place) -> Path:
    folder = place.room / "few"
    folder.mkdir()
    assert place.data is not None
    for path in sorted((place.data / "coco80_val/images").iterdir())[:4]:
        shutil.copy(path, folder)
    return folder


def _scores(name: str, truth: Path, out: Path, place: Place) -> Figures:
    choices = Choices(missing="ignore") if place.small else None
    metrics = evaluate(truth, out, choices=choices).metrics
    for metric in ("AP", "AP50"):
        yield f"{name}: {metric}, %", 100 * metrics[metric]
