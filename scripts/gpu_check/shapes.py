"""What a canvas or a batch size that is new to cuDNN costs, and bias and ReLU inside convolutions.

Milliseconds of the shipped model's network: the first and the second call for each new shape.
"""

from __future__ import annotations

import time

import torch

from scripts.gpu_check.machine import seconds
from scripts.gpu_check.place import Figures, Place, tf32
from segcli.models import registry
from segcli.models.device import autocast
from segcli.types import Batch

_SHAPES = ((4, 416, 416), (4, 416, 448), (4, 416, 480), (3, 416, 416), (2, 416, 416))


def check(place: Place) -> Figures:
    for precision in ("bfloat16", "float32"):
        model = registry.load_model(None, None).model
        model = model.to(place.device, memory_format=torch.channels_last)
        model.fuse(getattr(torch, precision))
        for images, height, width in _SHAPES:
            pixels = torch.zeros((images, 3, height, width), dtype=torch.uint8)
            sizes = ((height, width),) * images
            batch = Batch(("",) * images, pixels.to(place.device), sizes, sizes)
            spent = []
            for _ in range(2):
                start = time.perf_counter()
                with torch.inference_mode(), autocast(torch.device(place.device), precision):
                    model.first_stage(batch)
                place.synchronize()
                spent.append(f"{1e3 * (time.perf_counter() - start):.0f}")
            yield (
                f"{precision}, {images} of {width} x {height}: first, second, ms",
                ", ".join(spent),
            )
    if place.on_gpu:
        yield from convolutions(place)


@torch.inference_mode()
def convolutions(place: Place) -> Figures:
    """A convolution of ResNet with bias and ReLU: by three kernels, and by cuDNN in one."""
    for precision, dtype in (("bfloat16", torch.bfloat16), ("float32", torch.float32)):
        for channels, height, width, side in ((64, 192, 336, 3), (256, 192, 336, 1)):
            x = torch.randn(16, channels, height, width, device=place.device, dtype=dtype)
            x = x.contiguous(memory_format=torch.channels_last)
            weight = torch.randn(64, channels, side, side, device=place.device, dtype=dtype)
            weight = weight.contiguous(memory_format=torch.channels_last)
            bias = torch.randn(64, device=place.device, dtype=dtype)
            pad = side // 2

            def three(x=x, weight=weight, bias=bias, pad=pad) -> torch.Tensor:
                return torch.conv2d(x, weight, bias, padding=pad).relu_()

            def one(x=x, weight=weight, bias=bias, pad=pad) -> torch.Tensor:
                return torch.cudnn_convolution_relu(x, weight, bias, [1, 1], [pad, pad], [1, 1], 1)

            name = f"{precision}, {channels} channels, {side} x {side}"
            with tf32(convolutions=True, matrices=False):
                yield f"{name}: convolution, bias, ReLU, ms", 1e3 * seconds(three)
                yield f"{name}: in one, ms", 1e3 * seconds(one)
                yield f"{name}: largest difference", float((three() - one()).abs().max())
