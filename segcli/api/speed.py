"""Measure the time that a model takes per image on this machine."""

from __future__ import annotations

import time
from datetime import date
from statistics import median
from typing import TYPE_CHECKING

from segcli.api.model import Model, load
from segcli.errors import UsageError
from segcli.models import registry
from segcli.models.fetch import is_here, missing_modules
from segcli.models.speeds import Speed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SIZE = (480, 640)  # (height, width), as most of COCO's images
_IMAGES = 5
_LONGEST_S = 20.0


def measure_speed(model: str) -> Speed:
    """Time some images one by one, after a warm-up image, from pixels to masks.

    A model without installed weights gets random ones, with which its network takes about as long.
    Raises UsageError.
    """
    family, info = registry.find(model)
    if missing := missing_modules(family):
        raise UsageError(
            f"{model} needs {missing[0]}, which is not installed: {family.requires[missing[0]]}"
        )
    weights = is_here(family, info)
    name = f"{info.family}/{info.variant}"
    loaded = load(name) if weights else _with_random_weights(name)
    picture = _picture()
    loaded(picture)
    seconds: list[float] = []
    while len(seconds) < _IMAGES and sum(seconds) < _LONGEST_S:
        start = time.perf_counter()
        loaded(picture)
        seconds.append(time.perf_counter() - start)
    return Speed(
        seconds=round(median(seconds), 4),
        image=f"{_SIZE[1]} x {_SIZE[0]}",
        device=loaded.device,
        precision=loaded.precision,
        date=date.today().isoformat(),
        weights=weights,
    )


def _with_random_weights(name: str) -> Model:
    import torch

    from segcli.models.device import resolve_device, resolve_precision
    from segcli.pipeline.stages.inference import Inference
    from segcli.plugin import Fusible

    family, info = registry.find(name)
    device = resolve_device("auto")
    precision = resolve_precision("auto", device)
    torch.manual_seed(0)
    network = family.build(info).eval().to(device, memory_format=torch.channels_last)
    if isinstance(network, Fusible):
        network.fuse(getattr(torch, precision))
    return Model(
        Inference(
            model=network, device=device, precision=precision, min_score=0.05, max_masks=100,
            labels=None, batch_size=1, report=lambda event: None,
        )
    )  # fmt: skip


def _picture() -> NDArray[np.uint8]:
    """Coloured noise: the content of an image hardly changes the time."""
    import numpy as np

    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (*_SIZE, 3), dtype=np.uint8)
