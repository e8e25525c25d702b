"""Masks to run lengths on the device and on the CPU: equal rows, and milliseconds per image."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from scripts.gpu_check.place import Figures, Place
from segcli.masks.sampling import segments
from segcli.models.device import one_thread
from segcli.types import Instances

_MASKS = 100
_IMAGES = 16
_SIZES = {"content_size": (750, 1333), "image_size": (1080, 1920)}
_THREADS = (1, 4, 8, 16)


def check(place: Place) -> Figures:
    count = place.count(_IMAGES)
    host = [boxed(seed) for seed in range(count)]
    device = [moved(one, place.device) for one in host]
    whole = moved(over_the_image(), place.device)
    expected = [segments(one, **_SIZES) for one in host]
    found = [segments(one, **_SIZES) for one in device]
    yield "masks per image", sum(map(len, expected)) / count
    yield "images with equal rows", f"{sum(map(list.__eq__, expected, found))} of {count}"
    equal = segments(whole, **_SIZES) == segments(over_the_image(), **_SIZES)
    yield "equal rows of fields over the whole image", equal
    yield "on the device, ms per image", timed(place, device, lambda one: segments(one, **_SIZES))
    with one_thread(torch.device("cpu")):
        yield "on the CPU, ms per image", timed(place, host, lambda one: segments(one, **_SIZES))

    def fetched(one: Instances) -> None:
        segments(moved(one, "cpu"), **_SIZES)

    for threads in _THREADS[:2] if place.small else _THREADS:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            list(pool.map(fetched, device))
            start = time.perf_counter()
            list(pool.map(fetched, [*device] * 4))
            spent = time.perf_counter() - start
        yield f"copied to the CPU, {threads} threads, ms per image", 1e3 * spent / (4 * count)
    assert equal
    assert found == expected


def timed(place: Place, images: list[Instances], run) -> float:
    for one in images:
        run(one)
    place.synchronize()
    start = time.perf_counter()
    for one in images:
        run(one)
    place.synchronize()
    return 1e3 * (time.perf_counter() - start) / len(images)


def boxed(seed: int) -> Instances:
    """A hundred blobs, each a field of 28 x 28 over its box."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(_MASKS, 1, 5, 5, generator=random)
    soft = F.interpolate(coarse, size=(28, 28), mode="bicubic")[:, 0].clamp(0, 1).contiguous()
    corner = torch.rand(_MASKS, 2, generator=random) * torch.tensor([1000.0, 500.0])
    boxes = torch.cat((corner, corner + 20 + torch.rand(_MASKS, 2, generator=random) * 250), 1)
    return instances(soft, boxes, random)


def over_the_image() -> Instances:
    """Fields that span the content, as those of prototypes and of mask queries."""
    random = torch.Generator().manual_seed(1)
    coarse = torch.rand(20, 1, 6, 9, generator=random)
    soft = F.interpolate(coarse, size=(188, 334), mode="bicubic")[:, 0].clamp(0, 1).contiguous()
    return instances(soft, torch.tensor([[0.0, 0.0, 1333.0, 750.0]]).repeat(20, 1), random)


def instances(soft: Tensor, extents: Tensor, random: torch.Generator) -> Instances:
    count = len(soft)
    scores = torch.rand(count, generator=random)
    labels = torch.randint(0, 80, (count,), generator=random)
    return Instances(scores, labels, extents, soft, extents)


def moved(one: Instances, device: str) -> Instances:
    found = {f.name: getattr(one, f.name) for f in fields(one)}
    tensors = {name: value for name, value in found.items() if isinstance(value, Tensor)}
    return replace(one, **{name: value.to(device) for name, value in tensors.items()})
