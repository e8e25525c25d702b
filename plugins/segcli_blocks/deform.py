"""Deformable convolution, version 2 (Zhu et al. 2019), and where ResNets have it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.ops import deform_conv2d

from segcli_blocks.resnet import ResNet


class DeformConv2d(nn.Module):
    """A 3x3 convolution whose nine taps are moved and weighted by what `conv_offset_mask` predicts.

    That gives 18 offsets (dy, dx of each tap) and 9 logits; at first neither moves a tap, and
    every tap counts half.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.conv_offset_mask = nn.Conv2d(inputs, 27, 3, stride=stride, padding=1)
        nn.init.kaiming_uniform_(self.weight, a=1)
        nn.init.zeros_(self.conv_offset_mask.weight)
        assert self.conv_offset_mask.bias is not None
        nn.init.zeros_(self.conv_offset_mask.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride), rounded up; float32 inside."""
        moves = self.conv_offset_mask(x)
        with torch.autocast(x.device.type, enabled=False):
            found: Tensor = deform_conv2d(
                x.float(), moves[:, :18].float(), self.weight, self.bias,
                stride=self.stride, padding=1, mask=moves[:, 18:].float().sigmoid(),
            )  # fmt: skip
        return found.to(moves.dtype)


def deform(body: ResNet, *, every: int) -> None:
    """Replace the 3x3 convolution of every n-th bottleneck of the last three stages."""
    for stage in (body.layer2, body.layer3, body.layer4):
        for block in list(stage)[::every]:
            old = block.get_submodule("conv2")
            assert isinstance(old, nn.Conv2d)
            new = DeformConv2d(old.in_channels, old.out_channels, stride=old.stride[0])
            block.register_module("conv2", new)
