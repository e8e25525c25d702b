"""A depthwise convolution with fast gradients on a CPU.

oneDNN has fast gradients of depthwise 3x3 kernels, but in bfloat16 none of a 5x5 kernel's weights
(44 times the time of the forward pass) and none of a stride of 2 (60 times). So the weights of
5x5 get theirs from four 3x3 windows that cover them, and strides of 2 theirs in float32.
"""

from __future__ import annotations

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
        if not (x.device.type == "cpu" and torch.is_grad_enabled() and x.requires_grad):
            return super().forward(x)
        weight, bias = self.weight, self.bias
        if torch.is_autocast_enabled("cpu"):
            dtype = torch.get_autocast_dtype("cpu")
            assert bias is not None
            x, weight, bias = x.to(dtype), weight.to(dtype), bias.to(dtype)
        found: Tensor = _Convolve.apply(x, weight, bias, self.stride[0], self.padding[0])
        return found


class _Convolve(torch.autograd.Function):
    """The convolution with its gradients by other ways."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: int
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.settings = stride, padding
        return F.conv2d(x, weight, bias, stride, padding, groups=len(weight))

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
