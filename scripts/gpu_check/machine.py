"""The machine, and how fast its GPU multiplies and copies."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from scripts.benchmarks.runner import machine
from scripts.gpu_check.place import Figures, Place, tf32
from segcli.models.device import bfloat16_gain, resolve_device

_SIDE = 8192
_BYTES = 256 << 20


def check(place: Place) -> Figures:
    yield from machine().items()
    device = resolve_device(place.device)
    yield "bfloat16 convolution, times as fast as float32", bfloat16_gain(device)
    if not place.on_gpu:
        return
    yield "GPU memory, GiB", torch.cuda.get_device_properties(device).total_memory / 2**30
    yield "cuDNN", torch.backends.cudnn.version()
    for name, dtype, rounded in (
        ("float32", torch.float32, False),
        ("TF32", torch.float32, True),
        ("bfloat16", torch.bfloat16, False),
    ):
        x = torch.randn(_SIDE, _SIDE, device=device, dtype=dtype)
        with tf32(convolutions=rounded, matrices=rounded):
            yield (
                f"product of matrices, {name}, TFLOP/s",
                2 * _SIDE**3 / seconds(x.matmul, x) / 1e12,
            )
    for name, locked in (("page-locked", True), ("other", False)):
        host = torch.ones(_BYTES, dtype=torch.uint8, pin_memory=locked)
        yield f"copy from {name} memory, GB/s", _BYTES / seconds(host.to, device) / 1e9


def seconds(run: Callable[..., object], *arguments: object, times: int = 10) -> float:
    """The mean of `times` calls after two others, with all work finished."""
    for _ in range(2):
        run(*arguments)
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(times):
        run(*arguments)
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / times
