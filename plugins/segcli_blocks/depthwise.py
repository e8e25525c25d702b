"""A depthwise convolution with fast gradients on a CPU, and without waiting on a GPU.

oneDNN has fast gradients of depthwise 3x3 kernels, but in bfloat16 none of a 5x5 kernel's weights
(44 times the time of the forward pass) and none of a stride of 2 (60 times). So the weights of
5x5 get theirs from four 3x3 windows that cover them, and strides of 2 theirs in float32.

cuDNN compiles kernels for each layer and each new size of a batch or a canvas: on an H200, 17 ms
for a layer forward and 46 to 74 with its gradients, 2 s for a whole network. torch's own kernels
need no preparation, and were not slower there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_ONLY_INPUT, _ONLY_WEIGHT = [True, False, False], [False, True, False]


class Depthwise(nn.Conv2d):
    """One k x k kernel with a bias for each channel; as nn.Conv2d with as many groups."""

    def __init__(self, channels: int, kernel: int, *, stride: int = 1, padding: int = 0) -> None:
        super().__init__(channels, channels, kernel, stride, padding, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W), channels last in memory for speed."""
        if x.is_cuda:
            return self._on_gpu(x)
        if not (x.device.type == "cpu" and torch.is_grad_enabled() and x.requires_grad):
            return super().forward(x)
        return self._by(_Convolve, x)

    def _on_gpu(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            return self._by(_WithoutCudnn, x)
        with _without_cudnn():
            return super().forward(x)

    def _by(self, function: type[torch.autograd.Function], x: Tensor) -> Tensor:
        """What `function` gives for this layer, in autocast's format."""
        weight, bias, device = self.weight, self.bias, x.device.type
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
            assert bias is not None
            x, weight, bias = x.to(dtype), weight.to(dtype), bias.to(dtype)
        found: Tensor = function.apply(x, weight, bias, self.stride[0], self.padding[0])
        return found


@contextmanager
def _without_cudnn() -> Iterator[None]:
    """Let torch convolve with kernels of its own."""
    cudnn = torch.backends.cudnn
    enabled = cudnn.enabled
    cudnn.enabled = False
    try:
        yield
    finally:
        cudnn.enabled = enabled


class _WithoutCudnn(torch.autograd.Function):
    """The convolution and its gradients by torch's own kernels."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: int
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.settings = stride, padding
        with _without_cudnn():
            return F.conv2d(x, weight, bias, stride, padding, groups=len(weight))

    @staticmethod
    def backward(
        ctx: Any, gradient: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        stride, padding = ctx.settings
        wanted = list(ctx.needs_input_grad[:3])
        with _without_cudnn():
            found = _gradients(gradient, x, weight, stride, padding, wanted)
        return *found, None, None


class _Convolve(_WithoutCudnn):
    """The same convolution with gradients that are fast on a CPU, where cuDNN plays no part."""

    @staticmethod
    def backward(
        ctx: Any, gradient: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        stride, padding = ctx.settings
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        of_x = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            parts = (gradient, x, weight)
            if stride > 1:
                parts = (gradient.float(), x.float(), weight.float())
            of_x = _gradients(*parts, stride, padding, _ONLY_INPUT)[0].to(x.dtype)
        if ctx.needs_input_grad[1]:
            of_weight = _weight_gradient(gradient, x, weight, stride, padding)
        if ctx.needs_input_grad[2]:
            of_bias = gradient.sum((0, 2, 3))
        return of_x, of_weight, of_bias, None, None


def _weight_gradient(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int
) -> Tensor:
    """(C, 1, k, k); of 5x5 by four 3x3 corners, which overlap in the middle row and column."""
    if weight.shape[-1] != 5:
        return _gradients(gradient, x, weight, stride, padding, _ONLY_WEIGHT)[1]
    x = F.pad(x, (padding,) * 4)
    height, width = ((side - 1) * stride + 3 for side in gradient.shape[-2:])
    found = torch.empty_like(weight)
    corner = weight[:, :, :3, :3].contiguous()
    for top in (0, 2):
        for left in (0, 2):
            window = x[:, :, top : top + height, left : left + width]
            window = window.contiguous(memory_format=torch.channels_last)
            part = _gradients(gradient, window, corner, stride, 0, _ONLY_WEIGHT)[1]
            found[:, :, top : top + 3, left : left + 3] = part
    return found


def _gradients(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int, wanted: list[bool]
) -> tuple[Tensor, Tensor, Tensor]:
    channels = len(weight)
    found: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
        gradient, x, weight, [channels], [stride] * 2, [padding] * 2, [1, 1], False, [0, 0],
        channels, wanted,
    )  # fmt: skip
    return found
